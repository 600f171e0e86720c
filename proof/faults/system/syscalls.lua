-- syscalls: what may go wrong with each system call, in the words of its manual page. The first
-- error is the one that the shorter size of the proof takes when a fault lasts.
--
-- Every call that a scenario makes stands in one of the two tables; the proof ends with a failure
-- when it meets one that stands in neither.

local syscalls = {}

local MEMORY = { "ENOMEM" }
local DESCRIPTORS = { "EMFILE", "ENFILE", "ENOMEM" }

--- Call → the errors that it is made to fail with.
syscalls.errors = {
  -- sockets
  socket = { "EMFILE", "ENFILE", "ENOBUFS", "EACCES", "EAFNOSUPPORT" },
  socketpair = { "EMFILE", "ENOMEM" },
  connect = { "ECONNREFUSED", "ENETUNREACH", "EHOSTUNREACH", "ETIMEDOUT", "EADDRNOTAVAIL", "EPERM",
    "EINTR" },
  sendto = { "ECONNRESET", "EPIPE", "EAGAIN", "EINTR", "ENOBUFS", "ENOMEM" },
  recvfrom = { "ECONNRESET", "EAGAIN", "EINTR", "ENOMEM", "ETIMEDOUT" },
  poll = { "ENOMEM", "EINTR" },
  getsockopt = { "ENOBUFS" },
  setsockopt = { "ENOBUFS", "EPERM" },
  getsockname = { "ENOBUFS" },
  getpeername = { "ENOBUFS", "ENOTCONN" },
  bind = { "EADDRINUSE", "ENOMEM" },
  sendmsg = { "ENOBUFS", "ECONNREFUSED" },
  recvmsg = { "ENOMEM", "EAGAIN" },
  sendmmsg = { "ENOBUFS", "ECONNREFUSED" },
  ioctl = { "ENOTTY", "ENOMEM" },
  fcntl = { "EPERM", "EMFILE" },

  -- waiting
  epoll_create1 = DESCRIPTORS,
  epoll_ctl = { "ENOMEM", "ENOSPC" },
  epoll_wait = { "ENOMEM", "EINTR" },
  timerfd_create = DESCRIPTORS,
  timerfd_settime = { "ENOMEM", "EINVAL" },
  eventfd2 = DESCRIPTORS,
  pipe2 = DESCRIPTORS,

  -- files
  openat = { "EMFILE", "EACCES", "ENOENT", "ENOSPC", "EDQUOT", "EROFS", "EIO", "EINTR", "ENOMEM" },
  newfstatat = { "EIO", "EACCES", "ENOENT", "ENOMEM" },
  access = { "EACCES", "EIO" },
  flock = { "EAGAIN", "ENOLCK", "EINTR" },
  read = { "EIO", "EAGAIN", "EINTR" },
  write = { "ENOSPC", "EIO", "EDQUOT", "EFBIG", "EINTR", "EAGAIN" },
  lseek = { "EIO", "EINVAL" },
  ftruncate = { "EIO", "ENOSPC", "EINTR" },
  fsync = { "EIO", "ENOSPC", "EDQUOT", "EINVAL", "EINTR" },
  rename = { "ENOSPC", "EIO", "EDQUOT", "EACCES", "EXDEV" },
  link = { "EPERM", "EMLINK", "EEXIST", "ENOSPC", "EIO" },
  unlink = { "EIO", "EACCES", "EROFS" },
  close = { "EIO", "EINTR", "ENOSPC" },

  -- memory, threads
  brk = { "retval=0" }, -- says no with an address, never with an error: 0 is "not so far"
  mmap = MEMORY,
  mremap = MEMORY,
  munmap = MEMORY,
  mprotect = MEMORY,
  madvise = { "EAGAIN" },
  clone3 = { "EAGAIN", "ENOMEM" },
  getrandom = { "EINTR", "EAGAIN" },
}

--- Call → why it is left alone.
syscalls.exempt = {
  getpid = "cannot fail",
  gettid = "cannot fail",
  getuid = "cannot fail",
  geteuid = "cannot fail",
  getgid = "cannot fail",
  getegid = "cannot fail",
  readlink = "the marks of the proof itself",
  exit = "the end of a thread cannot fail",
  futex = "glibc ends the program when a lock of its own fails",
  rseq = "glibc's own, before a thread begins",
  set_robust_list = "glibc's own, before a thread begins",
  rt_sigprocmask = "fails for wrong arguments only",
  rt_sigaction = "fails for wrong arguments only",
}

--- Calls and errors that no program can outlive when they come back at every attempt: a signal
--- that interrupts each write, for ever, is not a thing of this world. (An open that is interrupted
--- is repeated by libuv, which the report needs; the library gives up at once.)
syscalls.passing = { ["write EINTR"] = true, ["openat EINTR"] = true }

--- What only says "again", or "too late": when it lasts, time runs out, and the error says so.
syscalls.again = { EAGAIN = true, EINTR = true, ETIMEDOUT = true }

--- What must not matter when it happens once: these calls, whatever their error …
syscalls.harmless = {
  access = true, close = true, getpeername = true, getsockname = true, getsockopt = true,
  madvise = true, munmap = true, poll = true, setsockopt = true, socketpair = true, unlink = true,
  -- … and these with an error that only says "again".
  ["epoll_wait EINTR"] = true, ["flock EINTR"] = true, ["recvfrom EAGAIN"] = true,
  ["recvfrom EINTR"] = true, ["sendto EAGAIN"] = true, ["sendto EINTR"] = true,
  ["write EINTR"] = true,
}

--- What must not end well when it is the first of its name: then success would promise what the
--- disk has not. The first fsync is of the file; the second, of its folder, is not that grave.
syscalls.decisive = { ["fsync EIO"] = true, ["fsync ENOSPC"] = true, ["fsync EDQUOT"] = true }

--- Where the fault lies: an error that comes of such a call is of this kind, and sends nobody to
--- look for it somewhere else.
syscalls.kind = {
  epoll_create1 = "io", epoll_ctl = "io", epoll_wait = "io", eventfd2 = "io", timerfd_create = "io",
  timerfd_settime = "io",
  flock = "io", fsync = "io", ftruncate = "io", link = "io", lseek = "io", newfstatat = "io",
  openat = "io", rename = "io", write = "io",
  connect = "network", recvfrom = "network", sendto = "network", socket = "network",
}

--- What must not matter to a request that may be repeated, so to all but a create.
syscalls.repeated = { socket = true, connect = true, sendto = true, recvfrom = true }

--- The calls at which the program is killed: those that change what is on disk or on the wire.
syscalls.deadly = {
  "write", "fsync", "rename", "link", "ftruncate", "openat", "unlink", "flock", "lseek", "close",
  "connect", "sendto", "recvfrom",
}

return syscalls
