# SPDX-License-Identifier: GPL-2.0
# kmemdump: the commands of this repository. Everything that they build is kept
# outside of it, in ${XDG_CACHE_HOME:-~/.cache}/kmemdump.

RUN := /usr/bin/python3 tools/testing/kmemdump/run.py
# make check K="storm and not slow": run only what pytest's -k selects.
SELECT := $(if $(K),-k "$(K)")
ON := $(if $(BASE),--base $(BASE))

help:
	@echo 'make demo         build a kernel, crash it in QEMU, print what was saved'
	@echo 'make check        run all tests; CASES="story torn" runs only those files, and'
	@echo '                  K="storm and not fadump" what pytest selects by that expression'
	@echo 'make check-long   what takes hours: debug kernels, 200 storms, fuzzing, mutants'
	@echo 'make check-debug  of these, the kernels with KASAN, lockdep and KCSAN, and the storms'
	@echo 'make mutants      break the code in small ways, and see whether tests notice'
	@echo 'make shell        boot BOARD=arm64-minidump with APPEND="...", and give a prompt'
	@echo 'make fuzz         look for input that the reader trips over; SECONDS=3600'
	@echo 'make coverage     which lines of mm/kmemdump the KUnit suites run'
	@echo 'make bench        print what things cost; PARTS="registration" runs only those'
	@echo 'make tree         leave a kernel tree with kmemdump, and say where; of Linux BASE=7.3,'
	@echo '                  as with "make shell", or of 6.12'
	@echo 'make series       write patches for "git am" to OUT=folder, from FROM="Name <mail>"; with'
	@echo '                  CHECK=1, build the kernel and run the KUnit suites after each of them'
	@echo 'make clean        remove everything that was built or cached'

demo clean coverage: python3
	@$(RUN) $@

tree: python3
	@$(RUN) $@ $(ON)

series: python3
	@$(RUN) $@ $(ON) $(if $(OUT),--out "$(OUT)") $(if $(FROM),--from "$(FROM)") $(if $(CHECK),--check) $(PATCHES)

check: python3
	@$(RUN) $@ $(SELECT) $(CASES)

# These run one after another: nothing else may use the kernel tree while it has a
# fault, or lacks patches.
check-long: python3
	@$(RUN) $@ $(SELECT) $(CASES)
	@$(if $(SELECT)$(CASES),,$(RUN) series --check)
	@$(if $(SELECT)$(CASES),,$(RUN) mutants)

check-debug: python3
	@$(RUN) check-long $(SELECT) debug_kernels storms

shell: python3
	@$(RUN) $@ $(ON) $(or $(BOARD),x86_64-ramoops) $(if $(APPEND),"$(APPEND)")

mutants: python3
	@$(RUN) $@ $(NAMES)

fuzz: python3
	@$(RUN) fuzz $(SECONDS)

bench: python3
	@$(RUN) bench $(PARTS)

# The harness installs whatever else it needs. It runs in Debian's own Python.
python3:
	@command -v git >/dev/null && test -x /usr/bin/python3 || \
		for try in 1 2 3; do \
			apt-get update && apt-get install -y --no-install-recommends git python3 && break; \
			sleep 20; \
		done

.PHONY: help demo tree series clean coverage check check-long check-debug shell mutants fuzz bench python3
