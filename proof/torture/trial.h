/*
** trial: one scenario, one time, with one planned failure, and everything that is asked of it
** afterwards. The scenarios themselves are in scenarios.lua, the service in service.lua.
*/
#ifndef TORTURE_TRIAL_H
#define TORTURE_TRIAL_H

#include "memory.h"

enum { TRIAL_WORDS = 512 };

enum trial_end {
  TRIAL_COMPLETED, /* the scenario came through all the same */
  TRIAL_FAILED,    /* it ended with an error object, as documented */
  TRIAL_RAISED,    /* it ended with Lua's own error about memory */
  TRIAL_ENDS
};

struct trial {
  const char *scenario;
  enum memory_kind kind;
  enum memory_mode mode;
  long index; /* 0: nothing fails */

  bool refused; /* out: an allocation was refused */
  long asked;   /* out: how many of this kind were asked for */
  enum trial_end end;
  char complaint[TRIAL_WORDS]; /* out: what was wrong; empty when all was right */
};

/* Start the service that all trials of this process share. False, with a message on stderr. */
bool trial_open(void);

void trial_run(struct trial *trial);

void trial_close(void);

/* The names of all scenarios, in their order, ended by NULL. */
const char **trial_scenarios(void);

#endif
