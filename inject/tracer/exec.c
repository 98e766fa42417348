/* SPDX-License-Identifier: Apache-2.0 */
/* inject/tracer/exec.c - a program is about to be executed: says so to the controller.
 * Knows: which argument names the program. Does not know: who watches, what is recorded.
 * Called by the target through the thunk page; calls the originals, by a jump.
 *
 * May run in a child of vfork, on its parent's memory: nothing of the tracer is written. A program
 * that gets privileges when it is executed must not be watched: the kernel would not give them. */
#include "inject/tracer/exec.h"

#include "inject/tracer/tracer.h"

#define PATH_LENGTH 1024u	/* longer ones are not followed */
#define HEAD_SIZE 256u		/* what the kernel reads of a script */
#define SCRIPT_DEPTH 5		/* an interpreter may be a script, too; more the kernel refuses */
#define S_IFMT 0170000u
#define S_IFREG 0100000u
#define S_ISUID 04000u
#define S_ISGID 02000u
#define S_IXUGO 0111u

/* ---- the hooks: all registers and the stack are the original's, as if called by the program ---- */

extern uint64_t tracer_before_exec(uint32_t function, uint32_t variant, const uint64_t *args);

__asm__(".text\n"
	".type tracer_exec_common, @function\n"
	"tracer_exec_common:\n"		/* r10, r11: function, variant */
	"	.cfi_startproc\n"
	"	push %rax\n"
	"	.cfi_adjust_cfa_offset 8\n"
	"	push %r9\n"
	"	.cfi_adjust_cfa_offset 8\n"
	"	push %r8\n"
	"	.cfi_adjust_cfa_offset 8\n"
	"	push %rcx\n"
	"	.cfi_adjust_cfa_offset 8\n"
	"	push %rdx\n"
	"	.cfi_adjust_cfa_offset 8\n"
	"	push %rsi\n"
	"	.cfi_adjust_cfa_offset 8\n"
	"	push %rdi\n"
	"	.cfi_adjust_cfa_offset 8\n"
	"	mov %r10d, %edi\n"
	"	mov %r11d, %esi\n"
	"	mov %rsp, %rdx\n"
	"	call tracer_before_exec\n"
	"	mov %rax, %r11\n"
	"	pop %rdi\n"
	"	.cfi_adjust_cfa_offset -8\n"
	"	pop %rsi\n"
	"	.cfi_adjust_cfa_offset -8\n"
	"	pop %rdx\n"
	"	.cfi_adjust_cfa_offset -8\n"
	"	pop %rcx\n"
	"	.cfi_adjust_cfa_offset -8\n"
	"	pop %r8\n"
	"	.cfi_adjust_cfa_offset -8\n"
	"	pop %r9\n"
	"	.cfi_adjust_cfa_offset -8\n"
	"	pop %rax\n"
	"	.cfi_adjust_cfa_offset -8\n"
	"	jmp *%r11\n"
	"	.cfi_endproc\n"
	".size tracer_exec_common, . - tracer_exec_common\n");

#define HOOK(fn, v)							\
	__asm__(".text\n"						\
		".globl exec_" #fn "_" #v "\n"				\
		".hidden exec_" #fn "_" #v "\n"				\
		".type exec_" #fn "_" #v ", @function\n"		\
		"exec_" #fn "_" #v ":\n"				\
		"	.cfi_startproc\n"				\
		"	endbr64\n"					\
		"	mov tracer_exec_number_" #fn "(%rip), %r10d\n"	\
		"	mov $" #v ", %r11d\n"				\
		"	jmp tracer_exec_common\n"			\
		"	.cfi_endproc\n"					\
		".size exec_" #fn "_" #v ", . - exec_" #fn "_" #v "\n");
#define HOOKS(fn)								\
	extern const uint32_t tracer_exec_number_##fn;				\
	const uint32_t tracer_exec_number_##fn = WIRE_FN_##fn;			\
	HOOK(fn, 0) HOOK(fn, 1) HOOK(fn, 2) HOOK(fn, 3)
EXEC_FUNCTIONS(HOOKS)
_Static_assert(WIRE_VARIANTS == 4, "HOOKS names the variants");

/* ---- which program? ---- */

enum naming {
	BY_PATH,
	BY_NAME,		/* looked for in PATH, unless there is a slash in it */
	BY_DESCRIPTOR,
	BY_PLACE,		/* descriptor, path, and flags in the fifth argument */
	BY_SHELL,		/* it is /bin/sh */
};

static const struct way {
	uint8_t naming, argument, what;
} ways[] = {
#define FIRST WIRE_FN_EXECVE
	[WIRE_FN_EXECVE - FIRST] = { BY_PATH, 0, WIRE_ASK_EXEC },
	[WIRE_FN_EXECV - FIRST] = { BY_PATH, 0, WIRE_ASK_EXEC },
	[WIRE_FN_EXECVP - FIRST] = { BY_NAME, 0, WIRE_ASK_EXEC },
	[WIRE_FN_EXECVPE - FIRST] = { BY_NAME, 0, WIRE_ASK_EXEC },
	[WIRE_FN_EXECL - FIRST] = { BY_PATH, 0, WIRE_ASK_EXEC },
	[WIRE_FN_EXECLE - FIRST] = { BY_PATH, 0, WIRE_ASK_EXEC },
	[WIRE_FN_EXECLP - FIRST] = { BY_NAME, 0, WIRE_ASK_EXEC },
	[WIRE_FN_FEXECVE - FIRST] = { BY_DESCRIPTOR, 0, WIRE_ASK_EXEC },
	[WIRE_FN_EXECVEAT - FIRST] = { BY_PLACE, 0, WIRE_ASK_EXEC },
	[WIRE_FN_POSIX_SPAWN - FIRST] = { BY_PATH, 1, WIRE_ASK_SPAWN },
	[WIRE_FN_POSIX_SPAWNP - FIRST] = { BY_NAME, 1, WIRE_ASK_SPAWN },
	[WIRE_FN_PIDFD_SPAWN - FIRST] = { BY_PATH, 1, WIRE_ASK_SPAWN },
	[WIRE_FN_PIDFD_SPAWNP - FIRST] = { BY_NAME, 1, WIRE_ASK_SPAWN },
	[WIRE_FN_SYSTEM - FIRST] = { BY_SHELL, 0, WIRE_ASK_SPAWN },
	[WIRE_FN_POPEN - FIRST] = { BY_SHELL, 0, WIRE_ASK_SPAWN },
};

enum verdict {
	FIT,
	ABSENT,			/* not there, no program: the call will fail, or goes on looking */
	PRIVILEGED,
};

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/* Of "#! /path/of/interpreter argument", in place. NULL: it is no script. */
static const char *interpreter(char head[HEAD_SIZE], long size)
{
	if (size < 4 || head[0] != '#' || head[1] != '!')
		return NULL;
	head[size < (long)HEAD_SIZE ? size : (long)HEAD_SIZE - 1] = 0;
	char *from = head + 2, *end;
	while (is_blank(*from))
		from++;
	for (end = from; *end && *end != '\n' && !is_blank(*end); end++)
		;
	*end = 0;
	return *from ? from : NULL;
}

static const char capability_name[] = "security.capability";

/* Without the right to read it nothing is known of its content: then no script can be run either. */
static enum verdict look_at(int dir, const char *path, int flags)
{
	char head[HEAD_SIZE], again[HEAD_SIZE];
	for (int depth = 0; depth < SCRIPT_DEPTH; depth++) {
		struct sys_stat st;
		if (sys_call(SYS_newfstatat, dir, path, &st, flags) < 0 ||
		    (st.mode & S_IFMT) != S_IFREG || !(st.mode & S_IXUGO))
			return ABSENT;
		if (st.mode & (S_ISUID | S_ISGID))
			return PRIVILEGED;
		char value[64];
		if (dir == AT_FDCWD &&
		    sys_call(SYS_getxattr, path, capability_name, value, sizeof(value)) > 0)
			return PRIVILEGED;
		int fd = dir;
		if (*path || !(flags & AT_EMPTY_PATH))
			fd = (int)sys_call(SYS_openat, dir, path, O_CLOEXEC | O_NONBLOCK, 0);
		if (fd < 0)
			return FIT;
		bool caps = sys_call(SYS_fgetxattr, fd, capability_name, value, sizeof(value)) > 0;
		long n = sys_call6(SYS_pread64, fd, (long)again, HEAD_SIZE, 0, 0, 0);
		if (fd != dir)
			sys_call(SYS_close, fd, 0, 0, 0);
		const char *next = interpreter(again, n);
		if (caps || !next)
			return caps ? PRIVILEGED : FIT;
		__builtin_memcpy(head, again, sizeof(head));
		path = head + (next - again);
		dir = AT_FDCWD;
		flags = 0;
	}
	return ABSENT;
}

static const char *search_path(void)
{
	static const char name[] = "PATH=", otherwise[] = "/bin:/usr/bin";
	const char *const *env = tracer.environment ? *(const char *const **)tracer.environment : NULL;
	for (; env && *env; env++) {
		uint32_t i = 0;
		while (name[i] && (*env)[i] == name[i])
			i++;
		if (!name[i])
			return *env + i;
	}
	return otherwise;
}

static bool has_slash(const char *name)
{
	while (*name && *name != '/')
		name++;
	return *name;
}

static uint32_t append(char *buf, uint32_t at, const char *text, char end)
{
	while (*text && *text != end && at < PATH_LENGTH - 1)
		buf[at++] = *text++;
	buf[at] = 0;
	return at;
}

/* As the C library looks. One that may not be executed by this process is passed over there: so any
 * with privileges counts, wherever it is found before a fit one. */
static enum verdict look_for(const char *name)
{
	char path[PATH_LENGTH];
	if (has_slash(name))
		return look_at(AT_FDCWD, name, 0);
	for (const char *dirs = search_path(); *name;) {
		uint32_t at = append(path, 0, dirs, ':');
		if (at)
			at = append(path, at, "/", 0);
		at = append(path, at, name, 0);
		enum verdict v = at < PATH_LENGTH - 1 ? look_at(AT_FDCWD, path, 0) : ABSENT;
		if (v != ABSENT)
			return v;
		while (*dirs && *dirs != ':')
			dirs++;
		if (!*dirs++)
			break;
	}
	return ABSENT;
}

static enum verdict look(const struct way *way, const uint64_t *args)
{
	uint64_t arg = args[way->argument];
	switch (way->naming) {
	case BY_DESCRIPTOR:
		return look_at((int)arg, "", AT_EMPTY_PATH);
	case BY_PLACE:
		return args[1] ? look_at((int)arg, (const char *)args[1], (int)args[4]) : ABSENT;
	case BY_SHELL:
		return look_at(AT_FDCWD, "/bin/sh", 0);
	default:
		if (!arg)
			return ABSENT;
		return way->naming == BY_NAME ? look_for((const char *)arg)
					      : look_at(AT_FDCWD, (const char *)arg, 0);
	}
}

/* The address of the original. A path that is no address of the program's is an error of its, which
 * the kernel answers; here it would be a fault where PATH is searched, as it would be in libc. */
uint64_t tracer_before_exec(uint32_t function, uint32_t variant, const uint64_t *args)
{
	struct wire_family *f = tracer.family;
	const struct way *way = &ways[function - FIRST];
	if (f && !__atomic_load_n((uint32_t *)&f->closed, __ATOMIC_RELAXED)) {
		enum verdict v = look(way, args);
		if (v == FIT)
			tracer_ask_family(way->what);
		else if (v == PRIVILEGED)
			__atomic_fetch_add((uint32_t *)&f->privileged, 1, __ATOMIC_RELAXED);
	}
	return tracer.original[function][variant];
}
