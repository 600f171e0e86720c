/* fast_clock: preloaded into a program, time passes a thousand times faster in it, by the monotonic clock
** and in what it waits for. So what takes minutes takes a part of a second. */
#define _GNU_SOURCE
#include <signal.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { FASTER = 1000, NANOSECONDS = 1000000000 };

int clock_gettime(clockid_t clock, struct timespec *at) {
  static int64_t first;
  int result = (int)syscall(SYS_clock_gettime, clock, at);
  if (clock != CLOCK_MONOTONIC || result != 0)
    return result;
  int64_t now = (int64_t)at->tv_sec * NANOSECONDS + at->tv_nsec;
  if (first == 0)
    first = now;
  now = first + (now - first) * FASTER;
  at->tv_sec = now / NANOSECONDS;
  at->tv_nsec = now % NANOSECONDS;
  return 0;
}

int epoll_wait(int set, struct epoll_event *events, int most, int timeout) {
  int wait = timeout <= 0 ? timeout : (timeout - 1) / FASTER + 1;
  return (int)syscall(SYS_epoll_pwait, set, events, most, wait, NULL, sizeof(sigset_t));
}
