# memtrace: `make` builds build/memtrace; `make help` lists the rest.
#
# Knobs: DEBUG=1 (-O0), ASAN=1 (address and undefined behaviour sanitizers; the tracer is built
# without), DEVELOPER=1 (strict warnings are errors), FAULT=1 ($(O)/fault/memtrace too, for the
# tests that make it fail), O=DIR (build folder), V=1 (print commands).

O ?= build
CC ?= gcc
CLANG := $(findstring clang,$(shell $(CC) --version 2>/dev/null))
Q := $(if $(V),,@)

ROOMS := base capture attach inject record symbolize analysis reporters reporters/tui serve cmds
SOURCES := $(foreach room,$(ROOMS),$(wildcard $(room)/*.c)) attach/arch/x86_64.c
ASM := $(foreach room,$(ROOMS),$(wildcard $(room)/*.S))
OBJECTS := $(SOURCES:%.c=$(O)/%.o) $(ASM:%.S=$(O)/%.o)
# libmemtrace.so: these rooms and lib/, where the public header is.
LIBRARY_ROOMS := base capture symbolize analysis
LIBRARY_OBJECTS := $(filter $(LIBRARY_ROOMS:%=$(O)/%/%.o),$(OBJECTS)) \
	$(patsubst %.c,$(O)/%.o,$(wildcard lib/*.c))
TRACER_SOURCES := $(wildcard inject/tracer/*.c)
WEB_ASSETS := $(wildcard reporters/web/*)

CSTD := -std=gnu17 -D_GNU_SOURCE
WARNINGS := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith \
	-Wwrite-strings -Wvla
ifdef DEVELOPER
WARNINGS += -Werror -Wformat=2 -Wundef -Wold-style-definition -Wno-format-nonliteral
endif
OPT := $(if $(DEBUG),-O0 -g3,-O2 -g)
ifdef ASAN
# gcc guesses wrongly about what may be uninitialized in instrumented code.
SANITIZE := -fsanitize=address,undefined -fno-omit-frame-pointer \
	$(if $(CLANG),,-Wno-maybe-uninitialized)
endif
HARDEN := $(if $(ASAN),,-D_FORTIFY_SOURCE=$(if $(DEBUG),0,2)) -fstack-protector-strong

CFLAGS ?=
ALL_CFLAGS = $(CSTD) $(OPT) $(WARNINGS) $(SANITIZE) $(HARDEN) -I. -MD -MP $(CFLAGS)
LIBS := -lunwind-ptrace -lunwind-x86_64 -lunwind -ldw -lelf -lzstd -lz -liberty -lncursesw -ltinfo -lpthread -lm

# The tracer runs inside the target: no libc, no stack protector (it would use the target's
# canary), frame pointers (the hooks find their caller by them), nothing exported by accident.
TRACER_CFLAGS := -std=gnu17 -O2 -g $(WARNINGS) -I. -MD -MP -fPIC -ffreestanding -fvisibility=hidden \
	-fno-stack-protector -fno-omit-frame-pointer -fno-asynchronous-unwind-tables -fcf-protection \
	-funwind-tables -fno-plt -ftls-model=initial-exec
# gcc would make a call of memset out of the loop in memset; clang -ffreestanding does not.
ifeq (,$(CLANG))
TRACER_CFLAGS += -fno-tree-loop-distribute-patterns
endif
TRACER_LDFLAGS := -shared -nostdlib -Wl,-z,defs -Wl,-z,now -Wl,-z,relro -Wl,-z,noexecstack \
	-Wl,--hash-style=gnu -Wl,-soname,memtrace-tracer.so -Wl,--build-id=sha1

.PHONY: all help clean deps demo bench install
all: $(O)/memtrace $(if $(ASAN),,$(O)/libmemtrace.so) $(if $(FAULT),$(O)/fault/memtrace)
comma := ,

help:
	@echo "make            build $(O)/memtrace"
	@echo "make demo       install what is missing, build, profile the example service"
	@echo "make check      install what the tests need, build, run all tests"
	@echo "make deps       install the Debian packages that building and testing need"
	@echo "make fault      memtrace killed and failing at every one of its steps (an hour)"
	@echo "make soak N=... attach to many kinds of program N times, killing memtrace in a third of them"
	@echo "make bench      measure; prints figures and the commands that made them"
	@echo "make soak-events   a capture of a billion events, every one accounted for"
	@echo "make unwind-check  1,000 stops of five programs: our unwind tables, libunwind and gdb"
	@echo "make check-includes check-headers lint   structure and static checks"
	@echo "make install    to DESTDIR and PREFIX ($(PREFIX)), with the man pages"
	@echo "make clean      remove $(O)/"

$(O)/memtrace: $(OBJECTS)
	@echo "  LINK    $@"
	$(Q)$(CC) $(ALL_CFLAGS) -o $@ $(OBJECTS) $(LDFLAGS) $(LIBS)

# Programs that use it run with any libmemtrace.so.1: lib/memtrace.map says what that promises.
LIBRARY_LIBS := -ldw -lelf -lzstd -lz -liberty -lpthread -lm
$(LIBRARY_OBJECTS): ALL_CFLAGS += -fPIC -fvisibility=hidden
$(O)/libmemtrace.so.1: $(LIBRARY_OBJECTS) lib/memtrace.map
	@echo "  LINK    $@"
	$(Q)$(CC) $(ALL_CFLAGS) -shared -o $@ $(LIBRARY_OBJECTS) -Wl,-soname,libmemtrace.so.1 \
		-Wl,--version-script=lib/memtrace.map -Wl,-z,defs -Wl,-z,relro -Wl,-z,now \
		-Wl,--exclude-libs,ALL $(LDFLAGS) $(LIBRARY_LIBS)
$(O)/libmemtrace.so: $(O)/libmemtrace.so.1
	$(Q)ln -sf $(<F) $@

# The same objects with their calls led through tests/fault/fault.c: a program that a test can kill,
# or let fail, at every step. FAULT=1 builds it too; never installed.
FAULT_CALLS = fork $(shell sed -n 's/^WRAP[A-Z_]*.[^,]*, \([a-z_0-9]*\),.*/\1/p' tests/fault/fault.c)
$(O)/fault/memtrace: $(OBJECTS) $(O)/tests/fault/fault.o
	@mkdir -p $(@D)
	@echo "  LINK    $@"
	$(Q)$(CC) $(ALL_CFLAGS) -o $@ $^ $(addprefix -Wl$(comma)--wrap=,$(FAULT_CALLS)) $(LDFLAGS) $(LIBS)

$(O)/%.o: %.c
	@mkdir -p $(@D)
	@echo "  CC      $<"
	$(Q)$(CC) $(ALL_CFLAGS) -c -o $@ $<

$(O)/%.o: %.S
	@mkdir -p $(@D)
	@echo "  AS      $<"
	$(Q)$(CC) -I. -I$(O) -MD -MP -c -o $@ $<

$(O)/tracer/%.o: inject/tracer/%.c
	@mkdir -p $(@D)
	@echo "  CC [T]  $<"
	$(Q)$(CC) $(TRACER_CFLAGS) -c -o $@ $<

# The same for targets whose dlopen cannot serve: nothing in there needs a dynamic loader.
$(O)/tracer-mapped/%.o: inject/tracer/%.c
	@mkdir -p $(@D)
	@echo "  CC [M]  $<"
	$(Q)$(CC) $(TRACER_CFLAGS) -DTRACER_NO_TLS -c -o $@ $<

$(O)/memtrace-tracer.so: $(TRACER_SOURCES:inject/tracer/%.c=$(O)/tracer/%.o)
$(O)/memtrace-tracer-mapped.so: $(TRACER_SOURCES:inject/tracer/%.c=$(O)/tracer-mapped/%.o)
$(O)/memtrace-tracer.so $(O)/memtrace-tracer-mapped.so:
	@echo "  LINK    $@"
	$(Q)$(CC) $(TRACER_LDFLAGS) -o $@ $^
	$(Q)strip --strip-unneeded -o $@.stripped $@

$(O)/inject/tracer_blob.o: $(O)/memtrace-tracer.so $(O)/memtrace-tracer-mapped.so
$(O)/reporters/assets.o: $(WEB_ASSETS)

-include $(OBJECTS:.o=.d) $(LIBRARY_OBJECTS:.o=.d) $(wildcard $(O)/tracer/*.d $(O)/tracer-mapped/*.d)

clean:
	rm -rf $(O)

deps:
	@./deps.sh all

# The service with the planted faults, watched for ten seconds: examples/leaky-service/README.md.
demo:
	@./deps.sh build
	@$(MAKE) --no-print-directory -j $(shell nproc) O=$(O)
	@MEMTRACE=$(O)/memtrace examples/leaky-service/demo.sh $(O)/demo

# Memray and newer Pythons are in a folder with a newer Debian, made once: by root, with a network.
ROOTFS ?= bench/rootfs
bench: all $(O)/bench/pair $(O)/bench/ticker $(O)/bench/storm $(O)/bench/paths
	@./deps.sh bench
	@O=$(O) bench/attach.py
	@O=$(O) bench/pair.py
	@O=$(O) bench/paths.py
	@root=$(ROOTFS); bench/rootfs.sh "$$root" || { root=; echo "bench: with this machine's Python, and those peers that it has"; }; \
		O=$(O) ROOTFS="$$root" bench/run.py --peers --write docs/performance.md

# 10^9 events of four threads: the target's count, the counters and the file agree. Minutes, and 4 GB of disk;
# the tests do 10^7.
.PHONY: soak-events
soak-events: all
	@MEMTRACE_STORM_EVENTS=1000000000 O=$(O) tests/run.py e2e/test_storm.Storm.test_many_events

.PHONY: unwind-check
unwind-check: all helpers
	@O=$(O) tests/unwind/many_stops.py

$(O)/bench/%: bench/%.c
	@mkdir -p $(@D)
	@echo "  CC [B]  $<"
	$(Q)$(CC) $(CSTD) $(WARNINGS) -O2 -g -I. -o $@ $< -lpthread

$(O)/bench/step.so: bench/step.c
	@mkdir -p $(@D)
	@echo "  CC [B]  $<"
	$(Q)$(CC) $(CSTD) $(WARNINGS) -O2 -g -I. -fPIC -shared -o $@ $<

$(O)/bench/paths: bench/paths.c $(O)/bench/step.so
	@mkdir -p $(@D)
	@echo "  CC [B]  $<"
	$(Q)$(CC) $(CSTD) $(WARNINGS) -O2 -g -I. -o $@ $^ -Wl,-rpath,'$$ORIGIN'

# These measure memtrace's own code, so they are linked with it.
$(O)/bench/symbols $(O)/bench/drain: $(O)/bench/%: bench/%.c $(filter-out $(O)/cmds/main.o,$(OBJECTS))
	@mkdir -p $(@D)
	@echo "  CC [B]  $<"
	$(Q)$(CC) $(ALL_CFLAGS) -MF $@.d -o $@ $< $(filter %.o,$^) $(LDFLAGS) $(LIBS)

PREFIX ?= /usr/local
MAN_PAGES := $(wildcard docs/man/*.[1-8])
install: all
	install -D -m 755 $(O)/memtrace $(DESTDIR)$(PREFIX)/bin/memtrace
	install -D -m 755 $(O)/libmemtrace.so.1 $(DESTDIR)$(PREFIX)/lib/libmemtrace.so.1
	ln -sf libmemtrace.so.1 $(DESTDIR)$(PREFIX)/lib/libmemtrace.so
	install -D -m 644 lib/memtrace.h $(DESTDIR)$(PREFIX)/include/memtrace.h
	install -D -m 644 docs/completion/memtrace.bash \
		$(DESTDIR)$(PREFIX)/share/bash-completion/completions/memtrace
	for page in $(MAN_PAGES); do install -D -m 644 $$page \
		$(DESTDIR)$(PREFIX)/share/man/man$${page##*.}/$${page##*/} || exit 1; done

include tests/tests.mk
