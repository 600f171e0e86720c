/* call, signals: waiting for one that asks the program to end; see call_inside.h. */
#include "call_inside.h"
#include "interrupt.h"

void akl_signal_await(struct akl_call *c) {
  struct akl_error error = {0};
  c->state = AKL_PAUSED;
  if (akl_interrupt_open(c, c->engine->poller.wake)) {
    c->engine->interruption = c;
    return;
  }
  akl_error_set(&error, AKL_CAUSE_SIGNALS_TAKEN,
                "SIGINT and SIGTERM are waited for already, somewhere else in this process.");
  akl_call_fail(c, &error);
  akl_error_clear(&error);
}

void akl_signal_over(struct akl_call *c) {
  if (c->engine->interruption == c)
    c->engine->interruption = NULL;
  akl_interrupt_close(c);
}

void akl_calls_take_signal(struct akl_engine *e) {
  struct akl_call *c = e->interruption;
  const int signal = c == NULL ? 0 : akl_interrupt_take();
  if (signal == 0)
    return;
  c->number = signal;
  akl_call_over(c);
}
