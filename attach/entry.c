/* SPDX-License-Identifier: Apache-2.0 */
/* attach/entry.c - brings a program that was just executed to its entry point.
 * Knows: the initial stack, ELF headers in memory, one piece of code. Does not know: what follows.
 * Called by cmds/; calls attach/proc and the kernel. */
#include "attach/entry.h"

#include "attach/preflight.h"
#include "attach/proc.h"
#include "attach/tracee_private.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PAGE 4096ull
#define CHUNK_WORDS 512
#define STACK_WORDS_MAX (4u << 20)	/* of arguments and environment together */
#define PAUSE_NS 200000l
#define ENTRY_EXEC_STOP (PTRACE_EVENT_EXEC << 16 | SIGTRAP << 8 | 0x7f)

/* ---- the code ---- */

#define SAVED_REGS 6
/* endbr64; push rax rcx rdx rsi rdi r11; mov $, eax edi esi edx; syscall; pop r11 rdi rsi rdx rcx rax;
 * jmp *0(rip); the entry point */
static const uint8_t code_bytes[] = {
	0xf3, 0x0f, 0x1e, 0xfa,
	0x50, 0x51, 0x52, 0x56, 0x57, 0x41, 0x53,
	0xb8, 0, 0, 0, 0, 0xbf, 0, 0, 0, 0, 0xbe, 0, 0, 0, 0, 0xba, 0, 0, 0, 0,
	0x0f, 0x05,
	0x41, 0x5b, 0x5f, 0x5e, 0x5a, 0x59, 0x58,
	0xff, 0x25, 0, 0, 0, 0,
	0, 0, 0, 0, 0, 0, 0, 0,
};
#define AT_NUMBERS 12u		/* of the first of four immediates, five bytes apart */
#define AFTER_CALL 33u		/* where the thread stands when it makes the call */
#define AT_ENTRY_WORD 46u
_Static_assert(sizeof(code_bytes) == AT_ENTRY_WORD + 8, "the code");

struct plan {
	pid_t pid;
	int mem;
	uint64_t entry;
	uint64_t entry_word;	/* where on the stack the loader finds it */
	uint64_t code;		/* where ours lies */
	uint8_t before[sizeof(code_bytes)];
	int signal;		/* that the code raises, so that it stops for us; 0: none, see choose() */
};

/* ---- memory ---- */

static bool read_mem(const struct plan *p, uint64_t address, void *buf, size_t size)
{
	for (size_t done = 0; done < size;) {
		ssize_t n = pread(p->mem, (uint8_t *)buf + done, size - done, (off_t)(address + done));
		if (n <= 0)
			return false;
		done += (size_t)n;
	}
	return true;
}

static bool write_mem(const struct plan *p, uint64_t address, const void *buf, size_t size)
{
	for (size_t done = 0; done < size;) {
		ssize_t n = pwrite(p->mem, (const uint8_t *)buf + done, size - done,
				   (off_t)(address + done));
		if (n <= 0)
			return false;
		done += (size_t)n;
	}
	return true;
}

struct words {			/* the stack, word by word */
	const struct plan *p;
	uint64_t at;		/* of the next */
	uint64_t chunk[CHUNK_WORDS];
	size_t next, count, all;
};

static bool next_word(struct words *w, uint64_t *ret)
{
	if (w->next == w->count) {
		/* The top of the stack may be near. */
		ssize_t n = pread(w->p->mem, w->chunk, sizeof(w->chunk), (off_t)w->at);
		if (n % 8)		/* half a read */
			n = read_mem(w->p, w->at, w->chunk, 8) ? 8 : 0;
		if (n < 8 || w->all > STACK_WORDS_MAX)
			return false;
		w->count = (size_t)n / 8;
		w->next = 0;
	}
	*ret = w->chunk[w->next++];
	w->at += 8;
	w->all++;
	return true;
}

/* argc, argv, 0, environment, 0, pairs of the auxiliary vector. */
static bool find_entry_word(struct plan *p, uint64_t sp)
{
	struct words w = { .p = p, .at = sp };
	uint64_t word, type;
	if (!next_word(&w, &word) || word > STACK_WORDS_MAX)
		return false;
	for (uint64_t args = word + 1; args > 0; args--)
		if (!next_word(&w, &word))
			return false;
	while (next_word(&w, &word) && word)
		;
	while (next_word(&w, &type) && type && next_word(&w, &word)) {
		if (type != AT_ENTRY || word != p->entry)
			continue;
		p->entry_word = w.at - 8;
		return true;
	}
	return false;
}

/* ---- a place for the code ---- */

/* Behind the end of an executable segment the rest of its last page is mapped, and nobody's. */
static bool place_behind(struct plan *p, const Elf64_Phdr *ph, uint64_t bias)
{
	uint64_t end = (bias + ph->p_vaddr + ph->p_filesz + 15) & ~15ull;
	if (ph->p_type != PT_LOAD || !(ph->p_flags & PF_X) || ph->p_filesz != ph->p_memsz ||
	    PAGE - end % PAGE < sizeof(code_bytes) || !(end % PAGE))
		return false;
	p->code = end;
	return read_mem(p, end, p->before, sizeof(p->before));
}

static bool place_in(struct plan *p, uint64_t headers, uint64_t count, uint64_t bias)
{
	Elf64_Phdr ph;
	for (uint64_t i = 0; i < count && i < 64; i++)
		if (read_mem(p, headers + i * sizeof(ph), &ph, sizeof(ph)) && place_behind(p, &ph, bias))
			return true;
	return false;
}

static bool place_in_image(struct plan *p, uint64_t start)
{
	Elf64_Ehdr eh;
	return start && read_mem(p, start, &eh, sizeof(eh)) && !memcmp(eh.e_ident, ELFMAG, SELFMAG) &&
	       eh.e_phentsize == sizeof(Elf64_Phdr) && place_in(p, start + eh.e_phoff, eh.e_phnum, start);
}

static bool place_in_program(struct plan *p)
{
	uint64_t headers = 0, count = 0;
	Elf64_Phdr ph;
	auto_error struct mt_error *err = proc_auxv(p->pid, AT_PHDR, &headers);
	if (!err)
		err = proc_auxv(p->pid, AT_PHNUM, &count);
	if (err || !read_mem(p, headers, &ph, sizeof(ph)) || ph.p_type != PT_PHDR)
		return false;
	return place_in(p, headers, count, headers - ph.p_vaddr);
}

/* ---- what the code does ---- */

/* A signal that is ignored where it means nothing stops a traced thread nevertheless, without a stop
 * for anything else that the loader does. Where the thread blocks those signals, or a filter of
 * system calls may forbid to raise one, it asks for its break as each loader does, and all its
 * calls are looked at. */
static void choose(struct plan *p, const struct proc_status *status)
{
	static const int signals[] = { SIGURG, SIGWINCH };
	uint64_t blocked = 0;
	if (status->seccomp || status->ns_tgid <= 0 ||
	    ptrace(PTRACE_GETSIGMASK, p->pid, sizeof(blocked), &blocked) < 0)
		return;
	for (size_t i = 0; i < 2 && !p->signal; i++)
		if (!(blocked >> (signals[i] - 1) & 1))
			p->signal = signals[i];
}

static void make_code(const struct plan *p, pid_t inner, uint8_t ret[sizeof(code_bytes)])
{
	const uint32_t numbers[4] = { p->signal ? SYS_tgkill : SYS_brk, p->signal ? (uint32_t)inner : 0,
				      (uint32_t)inner, (uint32_t)p->signal };
	memcpy(ret, code_bytes, sizeof(code_bytes));
	for (unsigned i = 0; i < 4; i++)
		memcpy(ret + AT_NUMBERS + i * 5, &numbers[i], 4);
	memcpy(ret + AT_ENTRY_WORD, &p->entry, 8);
}

/* The code before the word that leads to it: killed in between we leave nothing that is used. */
static struct mt_error *place(struct plan *p)
{
	struct user_regs_struct regs;
	struct proc_status status;
	uint8_t code[sizeof(code_bytes)];
	uint64_t loader = 0, vdso = 0;
	struct mt_error *err = proc_auxv(p->pid, AT_ENTRY, &p->entry);
	if (!err)
		err = proc_status_read(p->pid, &status);
	if (err)
		return err;
	mt_error_destroy(proc_auxv(p->pid, AT_BASE, &loader));
	mt_error_destroy(proc_auxv(p->pid, AT_SYSINFO_EHDR, &vdso));
	if (!loader)
		return mt_error_hint(mt_error_create(MT_ERROR_REFUSED,
					"the program is linked statically: it has no dynamic loader"),
				    "only dynamically linked programs can be traced");
	if (ptrace(PTRACE_GETREGS, p->pid, 0, &regs))
		return mt_error_os(errno, "cannot read the program's registers");
	if (!find_entry_word(p, regs.rsp))
		return mt_error_create(MT_ERROR_REFUSED, "the program's entry point is not on its stack");
	if (!place_in_image(p, loader) && !place_in_program(p) && !place_in_image(p, vdso))
		return mt_error_create(MT_ERROR_REFUSED, "the program has no room for a few bytes of code");
	choose(p, &status);
	make_code(p, status.ns_tgid, code);
	if (!write_mem(p, p->code, code, sizeof(code)) || !write_mem(p, p->entry_word, &p->code, 8))
		return mt_error_os(errno, "cannot write to the program");
	return NULL;
}

/* ---- there ---- */

static bool is_at_code(const struct plan *p, int status, struct user_regs_struct *regs)
{
	int sig = WSTOPSIG(status);
	if (status >> 16 || sig != (p->signal ? p->signal : SIGTRAP | 0x80))
		return false;
	return !ptrace(PTRACE_GETREGS, p->pid, 0, regs) && regs->rip == p->code + AFTER_CALL;
}

/* As if the code had run on, to the entry point. */
static struct mt_error *arrive(const struct plan *p, struct user_regs_struct *regs)
{
	uint64_t saved[SAVED_REGS];
	if (!read_mem(p, regs->rsp, saved, sizeof(saved)))
		return mt_error_os(errno, "cannot read the program's stack");
	regs->r11 = saved[0];
	regs->rdi = saved[1];
	regs->rsi = saved[2];
	regs->rdx = saved[3];
	regs->rcx = saved[4];
	regs->rax = saved[5];
	regs->orig_rax = (unsigned long long)-1;
	regs->rsp += sizeof(saved);
	regs->rip = p->entry;
	if (ptrace(PTRACE_SETREGS, p->pid, 0, regs))
		return mt_error_os(errno, "cannot set the program's registers");
	/* What cannot be put back from here on is used by nobody. */
	(void)(write_mem(p, p->entry_word, &p->entry, 8) &&
	       write_mem(p, p->code, p->before, sizeof(p->before)));
	return NULL;
}

/* A stop is left where it is: of one that was waited for the kernel forgets the signal, which would be
 * lost if we died before the thread goes on with it. */
bool entry_look(pid_t tid, int *status_ret)
{
	siginfo_t si = { 0 };
	int n;
	*status_ret = 0;
	do
		n = waitid(P_PID, (id_t)tid, &si, WEXITED | WSTOPPED | WNOHANG | WNOWAIT | __WALL);
	while (n < 0 && errno == EINTR);
	if (n < 0 || !si.si_pid)
		return n < 0;
	bool stopped = si.si_code == CLD_TRAPPED || si.si_code == CLD_STOPPED;
	if (stopped && si.si_status >> 8 != PTRACE_EVENT_EXEC) {
		*status_ret = (int)((unsigned)si.si_status << 8 | 0x7f);
		return true;
	}
	/* An exec by another thread than the first must be waited for, or ptrace() refuses the new pid. */
	return waitpid(tid, status_ret, WNOHANG | __WALL) != 0;
}

void entry_pause(void)
{
	nanosleep(&(struct timespec){ 0, PAUSE_NS }, NULL);	/* SIGCHLD ends it where that is caught */
}

bool entry_pass_on(pid_t tid, int status, int request)
{
	int event = status >> 16, sig = WSTOPSIG(status);
	if (event == PTRACE_EVENT_STOP && sig != SIGTRAP)
		sig = 0, request = PTRACE_LISTEN;	/* stays stopped, hears SIGCONT */
	if (event || sig == (SIGTRAP | 0x80))
		sig = 0;
	if (sig)
		stop_undo_false_eintr(tid);
	return !ptrace(request, tid, 0, sig) || errno == ESRCH;	/* its end is to be waited for */
}

static struct mt_error *wait_for_code(struct plan *p, bool (*cancel)(void), enum entry_end *ret,
				      int *status_ret)
{
	const int request = p->signal ? PTRACE_CONT : PTRACE_SYSCALL;
	struct user_regs_struct regs;
	int status = ENTRY_EXEC_STOP;
	for (;;) {
		if (!entry_pass_on(p->pid, status, request))
			return mt_error_os(errno, "cannot resume process %d", (int)p->pid);
		for (; !entry_look(p->pid, &status); entry_pause())
			if (cancel && cancel()) {
				*ret = ENTRY_CANCELLED;
				return NULL;
			}
		*status_ret = status;
		if (!WIFSTOPPED(status) || status >> 16 == PTRACE_EVENT_EXEC) {
			*ret = WIFSTOPPED(status) ? ENTRY_EXECED : ENTRY_ENDED;
			return NULL;
		}
		if (is_at_code(p, status, &regs)) {
			*ret = ENTRY_REACHED;
			return arrive(p, &regs);
		}
	}
}

struct mt_error *entry_run(pid_t pid, bool (*cancel)(void), enum entry_end *ret, int *status_ret)
{
	char path[32];
	snprintf(path, sizeof(path), "/proc/%d/mem", (int)pid);
	auto_close int mem = open(path, O_RDWR | O_CLOEXEC);
	if (mem < 0)
		return mt_error_os(errno, "cannot open '%s'", path);
	struct plan p = { .pid = pid, .mem = mem };
	struct mt_error *err = place(&p);
	return err ? err : wait_for_code(&p, cancel, ret, status_ret);
}
