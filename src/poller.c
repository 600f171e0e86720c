/* poller: see poller.h. This is the epoll one (Linux). */
#include "poller.h"

#include <errno.h>       /* EINTR */
#include <limits.h>      /* INT_MAX */
#include <stdint.h>      /* uint64_t */
#include <stdlib.h>      /* realloc */
#include <string.h>      /* memset */
#include <sys/epoll.h>   /* epoll_wait */
#include <sys/eventfd.h> /* eventfd */
#include <sys/timerfd.h> /* timerfd_settime */
#include <unistd.h>      /* close */

struct akl_slot {
  unsigned char wish;  /* events we want */
  unsigned char known; /* events the set knows of */
  bool was_up;         /* somebody wanted to read from it */
  bool ours;           /* its birth and death are reported to us */
  bool dirty;          /* it stands in the list of changes */
};

static bool add(int set, int fd) {
  struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
  return epoll_ctl(set, EPOLL_CTL_ADD, fd, &event) == 0;
}

bool akl_poller_open(struct akl_poller *p) {
  p->armed = AKL_NEVER;
  p->set = epoll_create1(EPOLL_CLOEXEC);
  p->timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
  p->wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  if (add(p->set, p->timer) && add(p->set, p->wake)) /* which fails if one of them is -1 */
    return true;
  akl_poller_close(p);
  return false;
}

static void close_one(int *fd) {
  if (*fd >= 0)
    (void)close(*fd);
  *fd = -1;
}

void akl_poller_close(struct akl_poller *p) {
  close_one(&p->wake);
  close_one(&p->timer);
  close_one(&p->set);
  free(p->slots);
  free(p->dirty);
  p->slots = NULL;
  p->dirty = NULL;
  p->count = p->dirty_count = 0;
}

/* Room for a slot of 'fd' and for its place in the list of changes, so that listing never fails. */
static bool reserve(struct akl_poller *p, int fd) {
  size_t needed = (size_t)fd + 1;
  if (needed <= p->count)
    return true;
  size_t count = p->count == 0 ? 64 : p->count;
  while (count < needed)
    count *= 2;
  struct akl_slot *slots = realloc(p->slots, count * sizeof *slots);
  if (slots == NULL)
    return false;
  memset(slots + p->count, 0, (count - p->count) * sizeof *slots);
  p->slots = slots;
  int *dirty = realloc(p->dirty, count * sizeof *dirty);
  if (dirty == NULL)
    return false;
  p->dirty = dirty;
  p->count = count;
  return true;
}

/* Bring the set in line with the wish for 'fd'. */
static bool apply(struct akl_poller *p, int fd) {
  struct akl_slot *slot = &p->slots[fd];
  if (slot->wish == slot->known)
    return true;
  struct epoll_event event = {.data.fd = fd};
  if (slot->wish & AKL_READ)
    event.events |= EPOLLIN;
  if (slot->wish & AKL_WRITE)
    event.events |= EPOLLOUT;
  int change = slot->wish == 0 ? EPOLL_CTL_DEL : slot->known == 0 ? EPOLL_CTL_ADD : EPOLL_CTL_MOD;
  int result = epoll_ctl(p->set, change, fd, &event);
  /* A socket that libcurl closed by itself is gone from the set already, and its number may have
  ** come back as another one that the set does not know yet. */
  if (result != 0 && change == EPOLL_CTL_MOD && errno == ENOENT)
    result = epoll_ctl(p->set, EPOLL_CTL_ADD, fd, &event);
  else if (result != 0 && change == EPOLL_CTL_ADD && errno == EEXIST)
    result = epoll_ctl(p->set, EPOLL_CTL_MOD, fd, &event);
  else if (result != 0 && change == EPOLL_CTL_DEL && (errno == ENOENT || errno == EBADF))
    result = 0;
  if (result == 0)
    slot->known = slot->wish;
  return result == 0;
}

bool akl_poller_opened(struct akl_poller *p, int fd) {
  if (!reserve(p, fd))
    return false;
  p->slots[fd].ours = true;
  p->slots[fd].was_up = false;
  return true;
}

bool akl_poller_was_up(const struct akl_poller *p, int fd) {
  return fd >= 0 && p->slots[fd].was_up;
}

void akl_poller_closing(struct akl_poller *p, int fd) {
  if (fd < 0 || (size_t)fd >= p->count)
    return;
  p->slots[fd].wish = 0;
  (void)apply(p, fd);
  p->slots[fd].known = 0;
  p->slots[fd].ours = false;
}

bool akl_poller_want(struct akl_poller *p, int fd, int events) {
  if (!reserve(p, fd))
    return false;
  struct akl_slot *slot = &p->slots[fd];
  slot->wish = (unsigned char)events;
  slot->was_up = slot->was_up || (events & AKL_READ) != 0;
  if (!slot->ours)
    return apply(p, fd);
  if (!slot->dirty) {
    slot->dirty = true;
    p->dirty[p->dirty_count++] = fd;
  }
  return true;
}

bool akl_poller_settle(struct akl_poller *p) {
  bool fine = true;
  for (size_t i = 0; i < p->dirty_count; i++) {
    p->slots[p->dirty[i]].dirty = false;
    fine = apply(p, p->dirty[i]) && fine;
  }
  p->dirty_count = 0;
  return fine;
}

bool akl_poller_arm(struct akl_poller *p, akl_usec at) {
  if (at >= p->armed)
    return true;
  struct itimerspec when = {.it_value = {.tv_sec = (time_t)(at / AKL_SECOND),
                                         .tv_nsec = (long)(at % AKL_SECOND) * 1000 + 1}};
  if (timerfd_settime(p->timer, TFD_TIMER_ABSTIME, &when, NULL) != 0)
    return false;
  p->armed = at;
  return true;
}

bool akl_poller_wake(struct akl_poller *p) {
  const uint64_t one = 1;
  if (p->awake)
    return true;
  p->awake = write(p->wake, &one, sizeof one) == (ssize_t)sizeof one;
  return p->awake || akl_poller_arm(p, 1); /* long past: the timer wakes just as well */
}

void akl_poller_alarm(int wake) {
  const uint64_t one = 1;
  (void)!write(wake, &one, sizeof one);
}

/* A timeout for epoll_wait: whole milliseconds, rounded up so that we never wake just too early. */
static int milliseconds(akl_usec timeout) {
  return timeout / 1000 >= INT_MAX ? INT_MAX : (int)((timeout + 999) / 1000);
}

int akl_poller_wait(struct akl_poller *p, akl_usec timeout, struct akl_ready ready[AKL_READY_MAX]) {
  struct epoll_event events[AKL_READY_MAX];
  uint64_t ticks;
  int found = epoll_wait(p->set, events, AKL_READY_MAX, milliseconds(timeout));
  if (found < 0)
    return errno == EINTR ? 0 : -1;

  int count = 0;
  for (int i = 0; i < found; i++) {
    int fd = events[i].data.fd;
    if (fd == p->timer) {
      (void)!read(p->timer, &ticks, sizeof ticks);
      p->armed = AKL_NEVER;
    } else if (fd == p->wake) {
      (void)!read(p->wake, &ticks, sizeof ticks);
      p->awake = false;
    } else {
      int news = 0;
      if (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLRDHUP))
        news |= AKL_READ;
      if (events[i].events & EPOLLOUT)
        news |= AKL_WRITE;
      if (events[i].events & EPOLLERR)
        news |= AKL_ERROR;
      ready[count++] = (struct akl_ready){.fd = fd, .events = news};
    }
  }
  return count;
}
