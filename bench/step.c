/* SPDX-License-Identifier: Apache-2.0 */
/* bench/step.c - counts the instructions that recording adds to each event, by single steps.
 * Knows: the thunk page, the tracer's range, the ring's position. Does not know: what is recorded.
 * A shared library that a target of bench/paths.py loads; memtrace records the target meanwhile.
 *
 * Between step_begin() and step_end() the calling thread runs with the trap flag set: after every
 * instruction a handler looks where it is. step_end() writes a line for every event: function,
 * size, instructions, bytes in the ring. What the original does is not counted. The counts are the
 * same on a busy machine and need neither hardware counters nor another process. With
 * STEP_PROFILE in the environment: how often every instruction of the tracer ran
 * ("pc OFFSET COUNT"). */
#include "capture/wire.h"

#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#define PAGE 4096u
#define EVENTS_MAX 4096u
#define TRAP_FLAG 0x100

void step_begin(void);
void step_end(void);

static const char *const names[] = {
#define X(name, symbol) symbol,
	WIRE_FUNCTIONS(X)
#undef X
};

struct event {
	unsigned function;
	uint64_t size, instructions, head;
};

static struct {
	const struct wire_thunk_page *thunks;
	uint64_t tracer, tracer_end;
	const struct wire_header *header;
	const struct wire_ring *ring;
	uint32_t *profile;	/* by offset in the tracer; NULL: not wanted */
	bool inside;
	uint64_t entry_sp, original_sp, last_pc;
	struct event events[EVENTS_MAX];
	unsigned count;
} s;

static bool is_original(uint64_t pc)
{
	for (uint32_t i = 0; i < s.thunks->count; i++)
		if (s.thunks->target[i].original == pc)
			return true;
	return false;
}

static void look_outside(const greg_t *regs)
{
	uint64_t offset = (uint64_t)regs[REG_RIP] - (uint64_t)s.thunks - WIRE_THUNK_CODE;
	if (offset % WIRE_THUNK_SIZE || offset / WIRE_THUNK_SIZE >= s.thunks->count ||
	    s.count == EVENTS_MAX)
		return;
	unsigned function = s.thunks->function[offset / WIRE_THUNK_SIZE];
	bool second = function == WIRE_FN_CALLOC || function == WIRE_FN_REALLOC;
	s.inside = true;
	s.entry_sp = (uint64_t)regs[REG_RSP];
	s.original_sp = 0;
	s.events[s.count] = (struct event){
		.function = function, .size = (uint64_t)regs[second ? REG_RSI : REG_RDI],
		.instructions = 1, .head = s.ring->head,
	};
}

static void look_inside(uint64_t pc, uint64_t sp)
{
	struct event *ev = &s.events[s.count];
	if (s.original_sp && sp > s.original_sp)
		s.original_sp = 0;
	if (sp > s.entry_sp) {
		ev->head = s.ring->head - ev->head;
		s.inside = false;
		s.count++;
	} else if (!s.original_sp && is_original(pc)) {
		s.original_sp = sp;
	} else if (!s.original_sp) {
		ev->instructions++;
		if (s.profile && pc >= s.tracer && pc < s.tracer_end)
			s.profile[pc - s.tracer]++;
	}
}

static void on_trap(int number, siginfo_t *info, void *context)
{
	(void)number, (void)info;
	const greg_t *regs = ((ucontext_t *)context)->uc_mcontext.gregs;
	uint64_t pc = (uint64_t)regs[REG_RIP];
	if (pc == s.last_pc)	/* one more round of a `rep` */
		return;
	s.last_pc = pc;
	if (s.inside)
		look_inside(pc, (uint64_t)regs[REG_RSP]);
	else
		look_outside(regs);
}

static void find_mappings(void)
{
	char line[512];
	FILE *f = fopen("/proc/self/maps", "r");
	while (f && fgets(line, sizeof(line), f)) {
		unsigned long start, end;
		char executable;
		if (sscanf(line, "%lx-%lx r%*c%c", &start, &end, &executable) != 3)
			continue;
		if (strstr(line, WIRE_MEMFD_TRACER)) {
			if (!s.tracer)
				s.tracer = start;
			s.tracer_end = end;
		} else if (strstr(line, WIRE_MEMFD_DATA) && !s.header) {
			s.header = (const void *)start;
		} else if (executable == 'x' && end - start == PAGE &&
			   *(const uint64_t *)start == WIRE_THUNK_MAGIC) {
			s.thunks = (const void *)start;
		}
	}
	if (f)
		fclose(f);
}

static void find_ring(void)
{
	const uint8_t *base = (const void *)s.header;
	const struct wire_ring *rings = (const void *)(base + s.header->rings_offset);
	for (uint32_t i = 0; i < s.header->ring_count; i++)
		if (rings[i].state == WIRE_RING_OWNED && rings[i].tid == (uint32_t)gettid())
			s.ring = &rings[i];
}

void step_begin(void)
{
	static uint8_t stack[65536];
	if (!s.thunks)
		find_mappings();
	if (s.thunks && s.tracer && s.header && !s.ring)
		find_ring();
	if (!s.ring) {
		dprintf(1, "this thread is not recorded\n");
		exit(1);
	}
	if (getenv("STEP_PROFILE") && !s.profile)
		s.profile = calloc(s.tracer_end - s.tracer, sizeof(*s.profile));
	s.count = 0;
	s.inside = false;
	sigaltstack(&(stack_t){ .ss_sp = stack, .ss_size = sizeof(stack) }, NULL);
	struct sigaction action = { .sa_sigaction = on_trap, .sa_flags = SA_SIGINFO | SA_ONSTACK };
	sigaction(SIGTRAP, &action, NULL);
	__asm__ volatile("pushfq\n\torq %0, (%%rsp)\n\tpopfq" : : "i"(TRAP_FLAG) : "memory", "cc");
}

void step_end(void)
{
	__asm__ volatile("pushfq\n\tandq %0, (%%rsp)\n\tpopfq" : : "i"(~TRAP_FLAG) : "memory", "cc");
	for (unsigned i = 0; i < s.count; i++)
		dprintf(1, "%s %lu %lu %lu\n", names[s.events[i].function],
			(unsigned long)s.events[i].size, (unsigned long)s.events[i].instructions,
			(unsigned long)s.events[i].head);
	for (uint64_t i = 0; s.profile && i < s.tracer_end - s.tracer; i++)
		if (s.profile[i])
			dprintf(1, "pc %#lx %u\n", (unsigned long)i, s.profile[i]);
}
