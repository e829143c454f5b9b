# SPDX-License-Identifier: MIT
# A front door. demo and bench need only a C compiler; check installs what it needs (tests/check), hunt needs the same; the
# build proper is Meson's.

CFLAGS = -O2
STRICT = -std=c11 -Wall -Wextra -Wpedantic -I include

examples = lol_server lol_client processes_server processes_client
headers := $(wildcard include/*/*.h include/*/*/*.h examples/*.h bench/*.h)
sources  = find include examples bench tests -name '*.[chm]' -o -name '*.cpp'

.PHONY: help demo check hunt bench format format-check clean

help:
	@echo 'make demo          build the examples and see two processes talk'
	@echo 'make check         run all tests (installs what they need on Debian)'
	@echo 'make hunt          run the hunts for races in full length'
	@echo 'make bench         compare with a raw socket'
	@echo 'make format        format the sources'
	@echo 'make format-check  fail if one is not formatted'
	@echo 'make clean         remove build/'

demo: $(examples:%=build/demo/%)
	@sh examples/demo.sh build/demo

build/demo/%: examples/%.c $(headers)
	@mkdir -p $(@D)
	$(CC) $(STRICT) $(CFLAGS) $(LDFLAGS) -o $@ $<

bench: build/bench/bench
	@build/bench/bench

build/bench/bench: $(wildcard bench/*.c) $(headers)
	@mkdir -p $(@D)
	$(CC) $(STRICT) -pthread $(CFLAGS) $(LDFLAGS) -o $@ $(filter %.c,$^)

check:
	@tests/check

hunt:
	@tests/hunt

format:
	$(sources) | xargs clang-format -i

format-check:
	$(sources) | xargs clang-format --dry-run --Werror
	! $(sources) | xargs grep -nE '^.{121}'

clean:
	rm -rf build
