/*
** elsewhere: preloaded into a program, it makes a small internet of this machine, so that specs can
** tell public addresses from private ones and nothing leaves it.
**
**   203.0.113.N (kept for documentation)   is a public address; what connects to it finds 127.113.0.N
**   2001:db8::N (kept as well)             is, too, and leads to the same; no IPv6 is needed here
**   v4-HEX.example, v6-HEX.example         are names that lead to the address with these digits
**   127.0.0.0/8 and ::1                    are themselves
**   anything else                          cannot be reached, and an attempt is told on stderr
*/
#include <arpa/inet.h> /* inet_ntop */
#include <dlfcn.h>     /* dlsym */
#include <errno.h>     /* ENETUNREACH */
#include <fcntl.h>     /* O_CLOEXEC */
#include <netdb.h>     /* getaddrinfo */
#include <stdint.h>    /* uint32_t */
#include <stdio.h>     /* fprintf */
#include <string.h>    /* strlen */
#include <unistd.h>    /* dup3 */

enum { PUBLIC = 0xCB0071, HERE = 0x7F7100 }; /* the first 24 bits of both */

static const unsigned char PUBLIC_V6[15] = {0x20, 0x01, 0x0d, 0xb8}; /* all but the last byte */

/* Sockets that were made for IPv6, and so believe that they are connected by it. */
static unsigned char is_v6[1024];

typedef int (*getaddrinfo_f)(const char *, const char *, const struct addrinfo *,
                             struct addrinfo **);
typedef int (*socket_f)(int, int, int);
typedef int (*connect_f)(int, const struct sockaddr *, socklen_t);
typedef int (*getpeername_f)(int, struct sockaddr *, socklen_t *);

/* The function that we stand in front of. ISO C has no cast for this. */
static void real(const char *name, void *function) {
  void *found = dlsym(RTLD_NEXT, name);
  memcpy(function, &found, sizeof found);
}

/* Write the address that a name carries as text; false when it carries none. */
static int address_in(const char *name, char *out, socklen_t room) {
  unsigned char bytes[16];
  size_t size = name != NULL && strncmp(name, "v4-", 3) == 0   ? 4
                : name != NULL && strncmp(name, "v6-", 3) == 0 ? 16
                                                               : 0;
  if (size == 0 || strlen(name) < 3 + 2 * size)
    return 0;
  for (size_t i = 0; i < size; i++) {
    unsigned byte;
    if (sscanf(name + 3 + 2 * i, "%2x", &byte) != 1)
      return 0;
    bytes[i] = (unsigned char)byte;
  }
  return inet_ntop(size == 4 ? AF_INET : AF_INET6, bytes, out, room) != NULL;
}

int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints,
                struct addrinfo **out) {
  char text[INET6_ADDRSTRLEN];
  getaddrinfo_f next;
  real("getaddrinfo", &next);
  return next(address_in(name, text, sizeof text) ? text : name, service, hints, out);
}

/* Exchange the first 24 bits of an IPv4 address if they are these. */
static int moved(struct sockaddr_in *in, uint32_t from, uint32_t to) {
  uint32_t address = ntohl(in->sin_addr.s_addr);
  if (in->sin_family != AF_INET || address >> 8 != from)
    return 0;
  in->sin_addr.s_addr = htonl(to << 8 | (address & 0xff));
  return 1;
}

static int is_here(const struct sockaddr *address) {
  const struct sockaddr_in *in = (const void *)address;
  const struct sockaddr_in6 *in6 = (const void *)address;
  if (address->sa_family == AF_INET)
    return ntohl(in->sin_addr.s_addr) >> 24 == 127;
  return address->sa_family != AF_INET6 || IN6_IS_ADDR_LOOPBACK(&in6->sin6_addr);
}

int socket(int family, int type, int protocol) {
  socket_f next;
  real("socket", &next);
  int fd = next(family, type, protocol);
  if (fd < 0 && family == AF_INET6)
    fd = next(AF_INET, type, protocol);
  if (fd >= 0 && (size_t)fd < sizeof is_v6)
    is_v6[fd] = 0;
  return fd;
}

/* The last byte of an address that stands for one here, or -1. */
static int public_v6(const struct sockaddr *address) {
  const struct sockaddr_in6 *in6 = (const void *)address;
  if (address->sa_family != AF_INET6 || memcmp(&in6->sin6_addr, PUBLIC_V6, sizeof PUBLIC_V6) != 0)
    return -1;
  return in6->sin6_addr.s6_addr[15];
}

/* Put a socket that knows IPv4 in the place of this one. */
static int become_v4(int fd) {
  int other = socket(AF_INET, SOCK_STREAM, 0);
  int done = other >= 0 && fcntl(other, F_SETFL, fcntl(fd, F_GETFL)) == 0 &&
             dup3(other, fd, O_CLOEXEC) == fd;
  (void)close(other);
  if (done && (size_t)fd < sizeof is_v6)
    is_v6[fd] = 1;
  return done;
}

int connect(int fd, const struct sockaddr *address, socklen_t size) {
  struct sockaddr_in in;
  int last = public_v6(address);
  connect_f next;
  real("connect", &next);
  if (address->sa_family == AF_INET && size >= sizeof in) {
    memcpy(&in, address, sizeof in);
    if (moved(&in, PUBLIC, HERE))
      return next(fd, (const void *)&in, sizeof in);
  }
  if (last >= 0 && become_v4(fd)) {
    in = (struct sockaddr_in){.sin_family = AF_INET};
    in.sin_port = ((const struct sockaddr_in6 *)(const void *)address)->sin6_port;
    in.sin_addr.s_addr = htonl((uint32_t)HERE << 8 | (uint32_t)last);
    return next(fd, (const void *)&in, sizeof in);
  }
  if (is_here(address))
    return next(fd, address, size);
  char text[INET6_ADDRSTRLEN] = "?";
  const struct sockaddr_in6 *in6 = (const void *)address;
  (void)inet_ntop(
      address->sa_family,
      address->sa_family == AF_INET6
          ? (const void *)&in6->sin6_addr
          : (const void *)&((const struct sockaddr_in *)(const void *)address)->sin_addr,
      text, sizeof text);
  (void)fprintf(stderr, "connects to %s\n", text);
  errno = ENETUNREACH;
  return -1;
}

int getpeername(int fd, struct sockaddr *address, socklen_t *size) {
  getpeername_f next;
  real("getpeername", &next);
  socklen_t room = *size;
  int result = next(fd, address, size);
  if (result != 0 || *size < sizeof(struct sockaddr_in))
    return result;
  if ((size_t)fd < sizeof is_v6 && is_v6[fd] && room >= sizeof(struct sockaddr_in6)) {
    const struct sockaddr_in *in = (const void *)address;
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = in->sin_port};
    memcpy(&in6.sin6_addr, PUBLIC_V6, sizeof PUBLIC_V6);
    in6.sin6_addr.s6_addr[15] = (unsigned char)ntohl(in->sin_addr.s_addr);
    memcpy(address, &in6, sizeof in6);
    *size = sizeof in6;
    return result;
  }
  (void)moved((void *)address, HERE, PUBLIC);
  return result;
}
