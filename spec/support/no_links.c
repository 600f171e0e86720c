/* no_links: preloaded into a program, its file systems know no second name for a file, as FAT does. */
#include <errno.h>
#include <unistd.h>

int link(const char *from, const char *to) {
  (void)from;
  (void)to;
  errno = EPERM;
  return -1;
}
