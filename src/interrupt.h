/*
** interrupt: SIGINT and SIGTERM, caught for one who waits for them. Signals are the process's, so
** there can be one at a time, in whatever thread; whoever comes second is refused. The next signal of
** the same kind does what it did before us, and so do both once the one who waited has let go.
*/
#ifndef AKL_INTERRUPT_H
#define AKL_INTERRUPT_H

#include <stdbool.h>

/* Catch both from now on for 'who', and wake the poller whose wake-up is 'wake' when one comes. One
** that is ignored stays so. False: somebody has them already. */
bool akl_interrupt_open(const void *who, int wake);

/* Which signal has come first since then; 0 if none has. Tells it once. */
int akl_interrupt_take(void);

/* If 'who' is the one that has them: put back the handlers that were there before, but not over
** somebody's who came later. A signal that came and was not taken is raised again, so that it is
** not lost. When this returns, nobody touches the poller any more. */
void akl_interrupt_close(const void *who);

/* "SIGINT", "SIGTERM". Static. */
const char *akl_interrupt_word(int signal);

#endif
