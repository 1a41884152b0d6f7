# SPDX-License-Identifier: GPL-2.0
# kmemdump: the entry. Everything that is built is kept outside of this
# repository, in ${XDG_CACHE_HOME:-~/.cache}/kmemdump.

RUN := tools/testing/kmemdump/run.py

help:
	@echo 'make demo         build a kernel, crash it in QEMU, print what was saved'
	@echo 'make check        run all tests; CASES="story torn" runs only those files'
	@echo 'make check-debug  run the suites and storms with KASAN, lockdep and others, and with KCSAN'
	@echo 'make fuzz         look for input that the reader trips over; SECONDS=3600'
	@echo 'make coverage     which lines of mm/kmemdump the KUnit suites run'
	@echo 'make bench        print what things cost; PARTS="registration" runs only those'
	@echo 'make tree         leave a kernel tree with kmemdump, and say where'
	@echo 'make clean        remove everything that was built or cached'

demo tree clean coverage: python3
	@$(RUN) $@

check check-debug: python3
	@$(RUN) $@ $(CASES)

fuzz: python3
	@$(RUN) fuzz $(SECONDS)

bench: python3
	@$(RUN) bench $(PARTS)

# The harness installs whatever else it needs.
python3:
	@command -v git >/dev/null && command -v python3 >/dev/null || \
		{ apt-get update && apt-get install -y --no-install-recommends git python3; }

.PHONY: help demo tree clean coverage check check-debug bench python3
