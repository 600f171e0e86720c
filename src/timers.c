/* timers: see timers.h. */
#include "timers.h"

#include <stdlib.h> /* realloc */
#include <time.h>   /* clock_gettime */

akl_usec akl_now(void) {
  struct timespec ts;
  (void)clock_gettime(CLOCK_MONOTONIC, &ts);
  return (akl_usec)ts.tv_sec * AKL_SECOND + ts.tv_nsec / 1000;
}

akl_usec akl_seconds(double seconds) {
  const double most = 9e9;
  if (!(seconds > 0))
    return 0;
  return (akl_usec)((seconds < most ? seconds : most) * 1e6);
}

bool akl_timers_reserve(struct akl_timers *t) {
  if (t->reserved == t->capacity) {
    size_t capacity = t->capacity == 0 ? 64 : t->capacity * 2;
    struct akl_timer **heap = realloc(t->heap, capacity * sizeof *heap);
    if (heap == NULL)
      return false;
    t->heap = heap;
    t->capacity = capacity;
  }
  t->reserved++;
  return true;
}

void akl_timers_release(struct akl_timers *t) {
  t->reserved--;
}

static void place(struct akl_timers *t, size_t i, struct akl_timer *timer) {
  t->heap[i] = timer;
  timer->slot = i + 1;
}

/* Move 'timer' from the free place 'i' towards the root until its parent is not later. */
static void sift_up(struct akl_timers *t, size_t i, struct akl_timer *timer) {
  while (i > 0 && t->heap[(i - 1) / 2]->at > timer->at) {
    place(t, i, t->heap[(i - 1) / 2]);
    i = (i - 1) / 2;
  }
  place(t, i, timer);
}

/* Move 'timer' from the free place 'i' towards the leaves until no child is earlier. */
static void sift_down(struct akl_timers *t, size_t i, struct akl_timer *timer) {
  for (;;) {
    size_t child = 2 * i + 1;
    if (child >= t->count)
      break;
    if (child + 1 < t->count && t->heap[child + 1]->at < t->heap[child]->at)
      child++;
    if (t->heap[child]->at >= timer->at)
      break;
    place(t, i, t->heap[child]);
    i = child;
  }
  place(t, i, timer);
}

/* Put 'timer' into the free place 'i', whichever way it has to go from there. */
static void settle(struct akl_timers *t, size_t i, struct akl_timer *timer) {
  if (i > 0 && t->heap[(i - 1) / 2]->at > timer->at)
    sift_up(t, i, timer);
  else
    sift_down(t, i, timer);
}

void akl_timers_set(struct akl_timers *t, struct akl_timer *timer, akl_usec at) {
  timer->at = at;
  settle(t, timer->slot != 0 ? timer->slot - 1 : t->count++, timer);
}

void akl_timers_unset(struct akl_timers *t, struct akl_timer *timer) {
  if (timer->slot == 0)
    return;
  size_t hole = timer->slot - 1;
  struct akl_timer *last = t->heap[--t->count];
  timer->slot = 0;
  if (last != timer)
    settle(t, hole, last);
}

akl_usec akl_timers_next(const struct akl_timers *t) {
  return t->count == 0 ? AKL_NEVER : t->heap[0]->at;
}

void akl_timers_run(struct akl_timers *t, akl_usec now) {
  /* A timer set again for a moment that is due as well waits for the next run: a timer of no
  ** length must not keep us here for ever. */
  for (size_t budget = t->count; budget > 0 && akl_timers_next(t) <= now; budget--) {
    struct akl_timer *timer = t->heap[0];
    akl_timers_unset(t, timer);
    timer->fire(timer, now);
  }
}

void akl_timers_free(struct akl_timers *t) {
  free(t->heap);
  *t = (struct akl_timers){0};
}
