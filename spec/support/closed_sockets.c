/* closed_sockets: preloaded into a program, it has a set of epoll's see every socket as if that had been
** closed behind its back and another had come by its number: what is to be changed is gone, what is to be
** added is there, and what is to be removed is not. Says on standard error which of these it did. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdbool.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static int really(int set, int change, int fd, struct epoll_event *event) {
  return (int)syscall(SYS_epoll_ctl, set, change, fd, event);
}

static void say(const char *what) {
  (void)!write(2, what, 1);
}

static bool is_socket(int fd) {
  struct stat st;
  return fstat(fd, &st) == 0 && S_ISSOCK(st.st_mode);
}

int epoll_ctl(int set, int change, int fd, struct epoll_event *event) {
  static bool refused, odd;
  struct epoll_event none = {0};
  if (!is_socket(fd) || refused) { /* who was refused has another try */
    refused = false;
    return really(set, change, fd, event);
  }
  if (change == EPOLL_CTL_DEL) {
    say("-");
    (void)really(set, EPOLL_CTL_DEL, fd, &none);
    odd = !odd;
    errno = odd ? ENOENT : EBADF; /* depends on whether there is another by this number */
    return -1;
  }
  refused = true;
  say(change == EPOLL_CTL_ADD ? "+" : "~");
  (void)really(set, change == EPOLL_CTL_ADD ? EPOLL_CTL_ADD : EPOLL_CTL_DEL, fd, &none);
  return really(set, change, fd, event);
}
