# Tests and checks. `make check` installs what they need, builds everything and runs tests/run.py;
# `make check T="u_buf e2e/test_attach"` runs those whose name contains one of the words.

# Unit tests: every tests/unit/u_NAME.c is one cmocka program linked with all objects but main
# and with those of the library.

UNIT_SOURCES := $(wildcard tests/unit/u_*.c)
UNIT_PROGRAMS := $(UNIT_SOURCES:%.c=$(O)/%)

UNIT_OBJECTS := $(filter-out $(O)/cmds/main.o,$(OBJECTS)) $(patsubst %.c,$(O)/%.o,$(wildcard lib/*.c))
$(O)/tests/unit/%: tests/unit/%.c $(UNIT_OBJECTS)
	@mkdir -p $(@D)
	@echo "  CC [U]  $<"
	$(Q)$(CC) $(ALL_CFLAGS) -MF $@.d -o $@ $< $(UNIT_OBJECTS) $(LDFLAGS) $(LIBS) -lcmocka

-include $(UNIT_PROGRAMS:=.d)

.PHONY: unit unit-asan
unit: $(UNIT_PROGRAMS)

# The same once more with the address and undefined behaviour sanitizers.
unit-asan:
	@$(MAKE) --no-print-directory O=$(O)/asan ASAN=1 unit

# Programs that tests start (the makers of the browser tests' pages, ...): all objects but main.

HELPER_SOURCES := $(wildcard tests/browser/*.c tests/sizes/*.c tests/symbols/*.c tests/unwind/*.c)
HELPER_PROGRAMS := $(HELPER_SOURCES:%.c=$(O)/%)

define HELPER_RULE
$(O)/tests/$(1)/%: tests/$(1)/%.c $(filter-out $(O)/cmds/main.o,$(OBJECTS))
	@mkdir -p $$(@D)
	@echo "  CC [U]  $$<"
	$$(Q)$$(CC) $$(ALL_CFLAGS) -MF $$@.d -o $$@ $$< $(filter-out $(O)/cmds/main.o,$(OBJECTS)) $$(LDFLAGS) $$(LIBS)
endef
$(foreach kind,browser sizes symbols unwind,$(eval $(call HELPER_RULE,$(kind))))

-include $(HELPER_PROGRAMS:=.d)

.PHONY: helpers
helpers: $(HELPER_PROGRAMS) $(O)/bench/paths	# the latter for tests/perf

# Fuzzers: every tests/fuzz/fuzz_NAME.c is one libFuzzer program, with the rooms it can reach
# compiled by clang with the sanitizers. FUZZ_ROOMS never contains what needs a process.

FUZZ_CC := clang
FUZZ_FLAGS := $(CSTD) -O1 -g -w -I. -MD -MP -fsanitize=address,undefined \
	-fno-sanitize-recover=undefined -fno-omit-frame-pointer
FUZZ_ROOMS := base capture attach inject record symbolize analysis reporters serve
FUZZ_SOURCES := $(wildcard tests/fuzz/fuzz_*.c)
FUZZ_PROGRAMS := $(FUZZ_SOURCES:%.c=$(O)/%)
FUZZ_OBJECTS := $(patsubst %.c,$(O)/fuzz/%.o,$(foreach room,$(FUZZ_ROOMS),$(wildcard $(room)/*.c)) \
	attach/arch/x86_64.c)
FUZZ_LIBRARY := $(O)/fuzz/libmemtrace.a

$(O)/fuzz/%.o: %.c
	@mkdir -p $(@D)
	@echo "  CC [F]  $<"
	$(Q)$(FUZZ_CC) $(FUZZ_FLAGS) -fsanitize=fuzzer-no-link -c -o $@ $<

# An archive, so that a fuzzer takes only the objects it calls.
$(FUZZ_LIBRARY): $(FUZZ_OBJECTS)
	$(Q)rm -f $@ && ar rcs $@ $^

$(O)/tests/fuzz/%: tests/fuzz/%.c $(FUZZ_LIBRARY) $(O)/inject/tracer_blob.o $(O)/reporters/assets.o
	@mkdir -p $(@D)
	@echo "  CC [F]  $<"
	$(Q)$(FUZZ_CC) $(FUZZ_FLAGS) -fsanitize=fuzzer -MF $@.d -o $@ $< $(filter %.a,$^) $(filter %.o,$^) $(LDFLAGS) $(LIBS)

-include $(FUZZ_OBJECTS:.o=.d) $(FUZZ_PROGRAMS:=.d)

.PHONY: fuzz
fuzz: $(FUZZ_PROGRAMS)

# Every step at which memtrace can die or fail, which takes an hour; tests/fault/test_walk.py does
# every hundredth. WAYS="kill-attach ..." chooses, JOBS=2 walk at once.

.PHONY: fault
fault: all $(O)/fault/memtrace
	@O=$(O) tests/fault/walk.py --keep-going --jobs $(JOBS) $(WAYS)

# The browser tests drive Debian's chromium with playwright-core, which Debian has not.

BROWSER_MODULES := tests/browser/node_modules/.package-lock.json
$(BROWSER_MODULES): tests/browser/package-lock.json
	@echo "  NPM     tests/browser"
	$(Q)cd tests/browser && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error && touch -c ../../$@

# The README's pictures, of the pages that the last `make demo` left.

.PHONY: pictures
pictures: $(BROWSER_MODULES)
	$(Q)node tests/browser/pictures.mjs $(O)/demo docs/images

# Structure: includes point down the chain of the rooms, headers compile alone.

.PHONY: check-includes check-headers lint
check-includes:
	@tests/structure/includes.py
check-headers:
	@FLAGS="$(CSTD) $(WARNINGS) -I." TRACER_FLAGS="-std=gnu17 -ffreestanding $(WARNINGS) -I." \
		tests/structure/headers.sh

# A helper, not a judge: read what it says, fix what is right. What is suppressed is what cppcheck
# does not understand here: the cleanup attribute, outputs of functions, symbols of the linker.
LINT_SOURCES := $(filter-out $(wildcard inject/tracer/*.c),$(SOURCES))
lint:
	@echo "  CPPCHECK"
	$(Q)cppcheck --quiet --std=c11 --language=c --inline-suppr --enable=warning,portability \
		$(addprefix --suppress=,missingIncludeSystem internalAstError memleak uninitStructMember \
		comparePointers) -j $(shell nproc) -I. $(SOURCES) $(TRACER_SOURCES)
	@echo "  TIDY"
	$(Q)printf '%s\n' $(LINT_SOURCES) | xargs -P $(shell nproc) -n 4 sh -c \
		'clang-tidy --quiet "$$@" -- $(CSTD) -I. 2>/dev/null' tidy

# Everything that `make check` runs is built first, in parallel, by a make of its own.

.PHONY: check check-build
check-build: all unit unit-asan helpers fuzz $(O)/fault/memtrace
	@$(MAKE) --no-print-directory $(BROWSER_MODULES) || \
		echo "make: no playwright-core; the browser tests will fail" >&2
check:
	@./deps.sh all
	@$(MAKE) --no-print-directory -j $(shell nproc) O=$(O) check-build
	@O=$(O) tests/run.py $(T)

# Attach and detach cycles over many kinds of target, memtrace killed in a third of them:
# make soak N=2000 [SEED=...] [KINDS=redis,c-waits] [JOBS=2]. tests/soak/soak.py tells the rest.

N ?= 300
JOBS ?= $(shell nproc)
.PHONY: soak
soak: all
	@O=$(O) tests/soak/soak.py -n $(N) $(if $(SEED),--seed $(SEED)) $(if $(KINDS),--kinds $(KINDS),--least 11) \
		--jobs $(JOBS)
