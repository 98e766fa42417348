# Unit tests: every tests/unit/u_NAME.c is one cmocka program linked with all objects but main.

UNIT_SOURCES := $(wildcard tests/unit/u_*.c)
UNIT_PROGRAMS := $(UNIT_SOURCES:%.c=$(O)/%)

$(O)/tests/unit/%: tests/unit/%.c $(filter-out $(O)/cmds/main.o,$(OBJECTS))
	@mkdir -p $(@D)
	@echo "  CC [U]  $<"
	$(Q)$(CC) $(ALL_CFLAGS) -MF $@.d -o $@ $< $(filter-out $(O)/cmds/main.o,$(OBJECTS)) $(LDFLAGS) $(LIBS) -lcmocka

-include $(UNIT_PROGRAMS:=.d)

.PHONY: unit
unit: $(UNIT_PROGRAMS)
