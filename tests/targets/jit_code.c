/* SPDX-License-Identifier: Apache-2.0 */
/* tests/targets/jit_code.c - calls malloc through code that it writes into anonymous memory.
 * Prints "ready ADDRESS FILE" and then, for each line it reads, does what it says:
 *	work		1,000 allocations through the code
 *	block		goes into the code and never comes back
 *	dump NAME	FILE, a jitdump that names the code NAME, mapped as runtimes do
 *	move NAME	an entry at the end of that file: the code is NAME from now on */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define SIZE 64

static void *volatile last;
static volatile int blocked;
static char *code, dump_path[256];

__attribute__((noinline)) void from_code(void)
{
	last = malloc(100);
	free(last);
	while (blocked)
		pause();
}

static void write_code(void)
{
	/* push rbp; mov rbp, rsp; mov rax, from_code; call rax; pop rbp; ret */
	static const unsigned char head[] = { 0x55, 0x48, 0x89, 0xe5, 0x48, 0xb8 };
	static const unsigned char tail[] = { 0xff, 0xd0, 0x5d, 0xc3 };
	uint64_t to = (uint64_t)from_code;
	code = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (code == MAP_FAILED)
		exit(3);
	memcpy(code, head, sizeof(head));
	memcpy(code + sizeof(head), &to, sizeof(to));
	memcpy(code + sizeof(head) + sizeof(to), tail, sizeof(tail));
}

static uint64_t now(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static void put_load(FILE *f, const char *name)
{
	size_t len = strlen(name) + 1;
	uint32_t prefix[2] = { 0, (uint32_t)(16 + 40 + len + SIZE) }, ids[2] = { 1, 1 };
	uint64_t time = now(), rest[4] = { (uint64_t)code, (uint64_t)code, SIZE, 7 };
	fwrite(prefix, sizeof(prefix), 1, f);
	fwrite(&time, sizeof(time), 1, f);
	fwrite(ids, sizeof(ids), 1, f);
	fwrite(rest, sizeof(rest), 1, f);
	fwrite(name, len, 1, f);
	fwrite(code, SIZE, 1, f);
}

static void dump(const char *name, const char *mode)
{
	FILE *f = fopen(dump_path, mode);
	if (!f)
		exit(4);
	if (*mode == 'w') {
		uint32_t head[6] = { 0x4a695444, 1, 40, 62, 0, (uint32_t)getpid() };
		uint64_t rest[2] = { now(), 0 };
		fwrite(head, sizeof(head), 1, f);
		fwrite(rest, sizeof(rest), 1, f);
		fflush(f);
		if (mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, fileno(f), 0) == MAP_FAILED)
			exit(5);
	}
	put_load(f, name);
	fclose(f);
}

int main(int argc, char **argv)
{
	char line[65536];
	snprintf(dump_path, sizeof(dump_path), "%s/jit-%d.dump", argc > 1 ? argv[1] : ".", getpid());
	write_code();
	printf("ready %lx %s\n", (unsigned long)code, dump_path);
	fflush(stdout);
	while (fgets(line, sizeof(line), stdin)) {
		line[strcspn(line, "\n")] = 0;
		if (!strncmp(line, "dump ", 5))
			dump(line + 5, "w+");
		else if (!strncmp(line, "move ", 5))
			dump(line + 5, "a");
		else if (!strcmp(line, "block") && printf("done\n") && !fflush(stdout))
			blocked = 1;
		for (int i = 0; i < 1000 && (blocked || !strcmp(line, "work")); i++)
			((void (*)(void))code)();
		puts("done");
		fflush(stdout);
	}
	return 0;
}
