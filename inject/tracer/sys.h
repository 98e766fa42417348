/* SPDX-License-Identifier: Apache-2.0 */
/* inject/tracer/sys.h - raw system calls and the few memory routines a compiler may ask for.
 * Inside the target there is no libc of ours: errno is never touched. x86-64. */
#ifndef MT_TRACER_SYS_H
#define MT_TRACER_SYS_H

#include <stddef.h>
#include <stdint.h>

#define SYS_mmap 9
#define SYS_mprotect 10
#define SYS_munmap 11
#define SYS_brk 12
#define SYS_sched_yield 24
#define SYS_madvise 28
#define SYS_prctl 157
#define SYS_getpid 39
#define SYS_pread64 17
#define SYS_close 3
#define SYS_getxattr 191
#define SYS_fgetxattr 193
#define SYS_openat 257
#define SYS_newfstatat 262
#define SYS_ftruncate 77
#define SYS_memfd_create 319
#define SYS_gettid 186
#define SYS_futex 202
#define SYS_prlimit64 302
#define SYS_process_vm_readv 310

#define PR_GET_NAME 16
#define PROT_READ 1
#define PROT_WRITE 2
#define MAP_SHARED 0x01
#define MAP_PRIVATE 0x02
#define MFD_CLOEXEC 1
#define MAP_ANONYMOUS 0x20
#define MAP_NORESERVE 0x4000
#define MAP_FAILED ((void *)-1)
#define MADV_DONTFORK 10
#define MADV_WIPEONFORK 18
#define FUTEX_WAIT 0
#define FUTEX_WAKE 1
#define RLIMIT_FSIZE 1
#define ENOMEM 12
#define EFAULT 14
#define AT_FDCWD (-100)
#define AT_EMPTY_PATH 0x1000
#define O_CLOEXEC 02000000
#define O_NONBLOCK 04000

struct sys_timespec {
	int64_t sec, nsec;
};

struct sys_rlimit {
	uint64_t now, max;
};

struct sys_iovec {
	void *base;
	size_t size;
};

struct sys_stat {
	uint64_t dev, ino, nlink;
	uint32_t mode, rest[29];
};
_Static_assert(sizeof(struct sys_stat) == 144, "struct stat of the kernel");

static inline long sys_call6(long nr, long a, long b, long c, long d, long e, long f)
{
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	register long r9 __asm__("r9") = f;
	long ret;
	__asm__ volatile("syscall"
			 : "=a"(ret)
			 : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return ret;
}

#define sys_call(nr, a, b, c, d) sys_call6(nr, (long)(a), (long)(b), (long)(c), (long)(d), 0, 0)

static inline void *sys_map(size_t size)
{
	long ret = sys_call6(SYS_mmap, 0, (long)size, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	return ret < 0 && ret > -4096 ? NULL : (void *)ret;
}

static inline uint64_t sys_ticks(void)
{
	uint32_t lo, hi;
	__asm__ volatile("rdtsc" : "=a"(lo), "=d"(hi));
	return (uint64_t)hi << 32 | lo;
}

#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

#endif
