# SPDX-License-Identifier: GPL-2.0
"""Files that several patches of a series add to. The functions here cut such a file down to what is
of use with the files that exist after a patch."""

import re
from pathlib import PurePosixPath

from .host import Failed

# The definition of a function: from the start of a line to the brace on a line of its own.
DEFINED = re.compile(r"^(?!static|typedef|struct \w+ \{)[a-z_][\w \t*]*?\b(\w+)\([^;{}]*\)\n\{", re.M)
EXPORTED = re.compile(r"^EXPORT_SYMBOL_GPL\((\w+)\)", re.M)
OBJECT = re.compile(r"\b(\w+)\.o\b")
SECTION = re.compile(r"/\* [^\n]*?\b(\w+\.c)\b")


def defined(texts):
    """The functions that these sources define and other files may call."""
    return {name for text in texts for name in DEFINED.findall(text) + EXPORTED.findall(text)}


def makefile(text, name, there):
    """The Makefile @name without the objects whose source is not @there yet."""
    folder = PurePosixPath(name).parent

    def kept(line):
        head, sep, objects = line.partition("+=")
        words = [word for word in objects.split() if not OBJECT.fullmatch(word)
                 or str(folder / f"{word[:-2]}.c") in there]
        if not sep or words == objects.split():
            return line
        return head + "+= " + " ".join(words) if words else None

    lines = re.sub(r"\s*\\\n\s*", " ", text).splitlines()
    if makefile_lines := [new for line in lines if (new := kept(line)) is not None]:
        if makefile_lines == lines:
            return text
        return "\n".join(makefile_lines) + "\n"
    return ""


def _blocks(text):
    """The entries of a Kconfig file, each with the comment before it. A choice is one entry."""
    block, depth = [], 0
    for line in text.splitlines(keepends=True):
        starts = re.match(r"(config|choice|endchoice|menu|endmenu|source)\b|#", line)
        if starts and not depth and block and not all(old.startswith("#") for old in block):
            yield "".join(block)
            block = []
        depth += {"choice": 1, "endchoice": -1}.get(line.split(" ")[0].strip(), 0)
        block.append(line)
    yield "".join(block)


def kconfig(text, there, options):
    """A Kconfig file without the options that come later, and without lines that source files that
    are not @there yet."""
    mine = set(re.findall(r"^config (\w+)", text, re.M))
    out = []
    for block in _blocks(text):
        names = re.findall(r"^config (\w+)", block, re.M)
        sourced = re.search(r"^source \"(\S+)\"", block, re.M)
        if names and names[0] not in options or sourced and sourced[1] not in there:
            continue
        out.append(re.sub(r"^\tselect (\w+)\n", lambda match: "" if match[1] in mine - options
                          else match[0], block, flags=re.M))
    return "".join(out).rstrip("\n") + "\n"


def sections(text, later):
    """A document without the sections whose titles are in @later."""
    lines = text.splitlines(keepends=True)
    titles = [i for i in range(1, len(lines) - 1) if re.fullmatch(r"(=|-){4,}\n", lines[i + 1])
              and lines[i].strip() and lines[i - 1] == "\n"]
    out, start = "".join(lines[:titles[0]]), titles + [len(lines)]
    known = {lines[i].strip() for i in titles}
    if missing := set(later) - known:
        raise Failed(f"there is no section {', '.join(sorted(missing))}")
    for i, end in zip(start, start[1:]):
        if lines[i].strip() not in later:
            out += "".join(lines[i:end])
    return out.rstrip("\n") + "\n"


def _items(text):
    """The comments, directives, declarations and empty lines of a header, as (kind, text)."""
    lines = text.splitlines(keepends=True)
    i = 0
    while i < len(lines):
        start, line = i, lines[i]
        if line.startswith("/*"):
            kind = "comment"
            while "*/" not in lines[i]:
                i += 1
        elif line.startswith("#"):
            kind = "define" if line.startswith("#define") else "directive"
            while lines[i].endswith("\\\n"):
                i += 1
        elif not line.strip():
            kind = "empty"
        else:
            kind, depth = "declaration", 0
            while True:
                code = re.sub(r"/\*.*?\*/", "", lines[i])
                depth += code.count("{") - code.count("}")
                if not depth and re.search(r"[;}]\s*$", code):
                    break
                i += 1
        i += 1
        yield kind, "".join(lines[start:i])


def _is_later(kind, text, later, used):
    """Whether an item of a header is about a function in @later. A stub stays if sources already
    use its function. Macros about such functions are added to @later."""
    if kind == "define":
        name = re.match(r"#define (\w+)", text)[1]
        if set(re.findall(r"\w+", text[len("#define"):])) & later:
            later.add(name)
            return True
    if kind != "declaration":
        return False
    name = re.match(r"[^(]*?\b(\w+)\s*\(", text)
    return bool(name) and name[1] in later and \
        not (text.startswith("static inline") and name[1] in used)


def _bare(text):
    """@text without empty #if blocks, and without more than one empty line in a row."""
    before = None
    while before != text:
        before = text
        text = re.sub(r"\n{3,}", "\n\n", text)
        text = re.sub(r"^#if(?:n?def)? [^\n]*\n\s*(?:#else[^\n]*\n\s*)?#endif[^\n]*\n", "", text,
                      flags=re.M)
        # If only the stubs after #else are left, drop the condition around them.
        text = re.sub(r"^#ifdef [^\n]*\n\s*#else[^\n]*\n\n?((?:(?!#).*\n)+?)\n?#endif[^\n]*\n", r"\1",
                      text, flags=re.M)
    return text


def header(text, later, there=None, used=()):
    """A header without the items about functions in @later. In an internal header, the sections of
    sources that are not @there are cut as well, except stubs of functions that are @used."""
    later, used = set(later), set(used)
    names = None if there is None else {PurePosixPath(path).name for path in there}
    items = list(_items(text))
    out, group, gone = [], [], False

    def flush():
        # A comment is cut only if all items that it is about are cut.
        rest = [kind for kind, _ in group if kind != "comment"]
        if rest and all(kind == "later" for kind in rest):
            group.clear()
        out.extend(text for kind, text in group if kind != "later")
        group.clear()

    for at, (kind, item) in enumerate(items):
        if names is not None and kind == "comment" and SECTION.match(item):
            gone = not set(re.findall(r"\b\w+\.c\b", item.splitlines()[0])) & names
        # The last item ends the include guard, and is in no section.
        if at == len(items) - 1:
            gone = False
        stands_in = kind == "directive" or kind == "declaration" and \
            item.startswith("static inline") and \
            set(re.findall(r"\b(\w+)\(", item.split("{")[0])) & later & used
        if kind in ("empty", "comment", "directive"):
            flush()
        if kind == "empty" or kind == "directive":
            out.append(item)
        elif gone and not stands_in or _is_later(kind, item, later, used):
            group.append(("later", item))
        else:
            group.append((kind, item))
    flush()
    return _bare("".join(out))
