/*
** process: is this still the process that made something? A forked child must not touch what its
** parent made, so this is asked at every entry; where the kernel can wipe a page in a child, the
** answer costs one look at that page, else the system call getpid.
*/
#ifndef AKL_PROCESS_H
#define AKL_PROCESS_H

#include <stdbool.h>
#include <sys/types.h> /* pid_t */

struct akl_process {
  const volatile char *mark; /* owned: 1 here, 0 in a child; NULL where that cannot be had */
  pid_t pid;
};

/* Note which process this is. */
void akl_process_note(struct akl_process *p);

/* Is it another one by now? */
bool akl_process_foreign(const struct akl_process *p);

/* Give back what noting it took. */
void akl_process_forget(struct akl_process *p);

#endif
