/*
** list: doubly linked rings of structs that carry their own links. A ring's head is a link that
** belongs to no struct; a link outside every ring points at itself. Nothing here allocates.
*/
#ifndef AKL_LIST_H
#define AKL_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct akl_link {
  struct akl_link *prev, *next;
};

/* The struct of type 'type' whose member 'member' is the link 'link'. */
#define AKL_OWNER(link, type, member) ((type *)(void *)((char *)(link)-offsetof(type, member)))

static inline void akl_link_init(struct akl_link *l) {
  l->prev = l->next = l;
}

static inline bool akl_link_alone(const struct akl_link *l) {
  return l->next == l;
}

static inline void akl_link_remove(struct akl_link *l) {
  l->prev->next = l->next;
  l->next->prev = l->prev;
  akl_link_init(l);
}

/* Put 'l', which is in no ring, at the end of the ring of 'head'. */
static inline void akl_link_append(struct akl_link *head, struct akl_link *l) {
  l->prev = head->prev;
  l->next = head;
  head->prev->next = l;
  head->prev = l;
}

/* Put 'l', which is in no ring, at the front of the ring of 'head'. */
static inline void akl_link_prepend(struct akl_link *head, struct akl_link *l) {
  akl_link_append(head->next, l);
}

/* The first link of the ring, or NULL when it is empty. */
static inline struct akl_link *akl_link_first(const struct akl_link *head) {
  return head->next == head ? NULL : head->next;
}

#endif
