/* interrupt: see interrupt.h. What the handler calls is in signal-safety(7); what it shares with others
** is atomic without a lock. */
#include "interrupt.h"

#include <errno.h>
#include <sched.h> /* sched_yield */
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h> /* NULL */
#include <unistd.h> /* getpid */

#include "poller.h"

enum { SIGNALS = 2 };

static const int signals[SIGNALS] = {SIGINT, SIGTERM};
static struct sigaction former[SIGNALS]; /* what each did before */

static _Atomic(const void *) holder; /* who waits; NULL if nobody does */
static atomic_int owner;             /* the process that he is in; 0 while that is not known */
static atomic_int wake_up = -1;      /* of his poller */
static atomic_int came;              /* the first signal that nobody has taken */
static atomic_int inside;            /* handlers that are running, in other threads perhaps */

static void handle(int signal);

static bool is_ours(const struct sigaction *action) {
  return (action->sa_flags & SA_SIGINFO) == 0 && action->sa_handler == handle;
}

static bool is_ignored(const struct sigaction *action) {
  return (action->sa_flags & SA_SIGINFO) == 0 && action->sa_handler == SIG_IGN;
}

static const struct sigaction *former_of(int signal) {
  return &former[signal == signals[0] ? 0 : 1];
}

/* The signal is not for us when a forked child gets it, which has its parent's handlers, or when
** somebody who kept our handler has put it back after our end: then it does what it did before us. */
static void handle(int signal) {
  const int before = errno;
  int none = 0;
  (void)atomic_fetch_add(&inside, 1);
  const int wake = atomic_load(&wake_up);
  (void)sigaction(signal, former_of(signal), NULL);
  if (atomic_load(&owner) != getpid()) {
    (void)raise(signal); /* as soon as we return */
  } else {
    (void)atomic_compare_exchange_strong(&came, &none, signal);
    akl_poller_alarm(wake);
  }
  (void)atomic_fetch_sub(&inside, 1);
  errno = before;
}

static void put_back(void) {
  struct sigaction now;
  for (int i = 0; i < SIGNALS; i++)
    if (sigaction(signals[i], NULL, &now) == 0 && is_ours(&now))
      (void)sigaction(signals[i], &former[i], NULL);
}

static bool claim(const void *who) {
  const void *nobody = NULL;
  return atomic_compare_exchange_strong(&holder, &nobody, who);
}

/* After a fork nobody of this process has them, and no handler is running. */
static bool inherited(void) {
  const int process = atomic_load(&owner);
  return process != 0 && process != getpid();
}

static void release(void) {
  atomic_store(&owner, 0);
  atomic_store(&holder, NULL);
}

static void disown(void) {
  put_back();
  atomic_store(&wake_up, -1);
  atomic_store(&inside, 0);
  atomic_store(&came, 0);
  release();
}

/* SA_RESTART: what else the program waits for, such as a line from its terminal, goes on; ours does
** not (signal(7): epoll_wait is "never restarted after being interrupted"). */
bool akl_interrupt_open(const void *who, int wake) {
  struct sigaction ours = {.sa_handler = handle, .sa_flags = SA_RESTART | SA_ONSTACK};
  if (inherited())
    disown();
  if (!claim(who))
    return false;
  (void)sigemptyset(&ours.sa_mask);
  atomic_store(&came, 0);
  atomic_store(&wake_up, wake);
  atomic_store(&owner, getpid());
  for (int i = 0; i < SIGNALS; i++) {
    (void)sigaction(signals[i], NULL, &former[i]);
    if (is_ours(&former[i]))
      former[i] = (struct sigaction){.sa_handler = SIG_DFL};
    if (!is_ignored(&former[i]))
      (void)sigaction(signals[i], &ours, NULL);
  }
  return true;
}

int akl_interrupt_take(void) {
  return atomic_exchange(&came, 0);
}

void akl_interrupt_close(const void *who) {
  if (atomic_load(&holder) != who)
    return;
  if (inherited()) {
    disown();
    return;
  }
  put_back();
  atomic_store(&wake_up, -1);
  while (atomic_load(&inside) > 0) /* one that was quicker: it is through in a moment */
    (void)sched_yield();
  const int lost = atomic_exchange(&came, 0);
  release();
  if (lost != 0)
    (void)raise(lost);
}

const char *akl_interrupt_word(int signal) {
  return signal == SIGINT ? "SIGINT" : "SIGTERM";
}
