# SPDX-License-Identifier: MIT
# A front door. demo needs only a C compiler; check, check-all and bench install what they need (tests/check,
# bench/run), hunt needs the same as check; the build proper is Meson's.

CFLAGS = -O2
STRICT = -std=c11 -Wall -Wextra -Wpedantic -I include

examples = lol_server lol_client processes_server processes_client
headers := $(shell find include examples bench -name '*.h')
sources  = find include examples bench tests -name '*.[chm]' -o -name '*.cpp'

peers = floor lightmessaging raw pipe iceoryx sdbus zeromq nng
peer_objects = $(patsubst %,build/bench/%.o,child measure nursery peer_main stream unix_socket usage work)
neighbour_objects = $(patsubst %,build/bench/%.o,neighbours nuisance child measure)
libraries_iceoryx = $(addprefix -isystem ,$(lastword $(wildcard /usr/include/iceoryx/v*))) -liceoryx_binding_c
libraries_sdbus   = -lsystemd
libraries_zeromq  = -lzmq
libraries_nng     = -lnng

.PHONY: help demo check check-all hunt model bench bench-quick bench-programs bench-record format format-check clean

help:
	@echo 'make demo          build the examples and see two processes talk'
	@echo 'make check         run the tests, in 6 minutes (installs what they need on Debian)'
	@echo 'make check-all     run them in all ways: also ThreadSanitizer, valgrind, all builds'
	@echo 'make hunt          run the hunts for races in full length'
	@echo 'make model         check the models of the protocol with spin'
	@echo 'make bench         compare with other ways to talk (installs them on Debian); in 10 minutes'
	@echo 'make bench-quick   less of it, in one minute'
	@echo 'make bench-record  put the last run into docs/PERFORMANCE.md'
	@echo 'make format        format the sources'
	@echo 'make format-check  fail if one is not formatted'
	@echo 'make clean         remove build/'

demo: $(examples:%=build/demo/%)
	@sh examples/demo.sh build/demo

build/demo/%: examples/%.c $(headers)
	@mkdir -p $(@D)
	$(CC) $(STRICT) $(CFLAGS) $(LDFLAGS) -o $@ $<

bench:
	@bench/run full

bench-quick:
	@bench/run quick

bench-programs: $(peers:%=build/bench/peer_%) build/bench/neighbours

build/bench/%.o: bench/%.c $(headers)
	@mkdir -p $(@D)
	$(CC) $(STRICT) -pthread $(CFLAGS) -c -o $@ $<

build/bench/peer_%: bench/peer_%.c $(peer_objects) $(headers)
	$(CC) $(STRICT) -pthread $(CFLAGS) $(LDFLAGS) -o $@ $< $(peer_objects) $(libraries_$*)

build/bench/neighbours: $(neighbour_objects)
	$(CC) -pthread $(LDFLAGS) -o $@ $^

bench-record:
	@sed -i -e '/^<!-- run -->/,/^<!-- end -->/{/^<!--/!d}' -e '/^<!-- run -->/r build/bench/report.md' docs/PERFORMANCE.md
	@cp build/bench/*.svg docs/

check:
	@tests/check

check-all:
	@tests/check all

hunt:
	@tests/hunt

model:
	@model/check

format:
	$(sources) | xargs clang-format -i

format-check:
	$(sources) | xargs clang-format --dry-run --Werror
	! $(sources) | xargs grep -nE '^.{121}'
	! LC_ALL=C.UTF-8 grep -nE '^[^|].{120}' *.md docs/*.md model/*.md

clean:
	rm -rf build
