/* process: see process.h. */
#include "process.h"

#include <stddef.h>   /* NULL */
#include <sys/mman.h> /* mmap, madvise */
#include <unistd.h>   /* getpid */

/* madvise(2), MADV_WIPEONFORK, since Linux 4.14: "Present the child process with zero-filled memory
** in this range after a fork(2)." */
void akl_process_note(struct akl_process *p) {
  p->mark = NULL;
  p->pid = getpid();
#ifdef MADV_WIPEONFORK
  char *page = mmap(NULL, 1, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (page == MAP_FAILED)
    return;
  if (madvise(page, 1, MADV_WIPEONFORK) == 0) {
    *page = 1;
    p->mark = page;
  } else {
    (void)munmap(page, 1);
  }
#endif
}

bool akl_process_foreign(const struct akl_process *p) {
  return p->mark != NULL ? *p->mark == 0 : p->pid != getpid();
}

void akl_process_forget(struct akl_process *p) {
  if (p->mark != NULL)
    (void)munmap((void *)p->mark, 1);
  p->mark = NULL;
}
