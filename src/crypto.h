/*
** crypto: what we take from libcrypto: digests, and wiping secrets.
*/
#ifndef AKL_CRYPTO_H
#define AKL_CRYPTO_H

#include <stdbool.h>
#include <stddef.h>

enum { AKL_SHA256_HEX = 64 };

struct akl_sha256; /* a digest under way */

/* A new digest, or NULL when memory runs out. */
struct akl_sha256 *akl_sha256_new(void);

bool akl_sha256_update(struct akl_sha256 *d, const void *data, size_t size);

/* Write the digest of all that was given so far as lower-case hex and a zero byte; 'd' may not be
** updated after that. */
bool akl_sha256_finish(struct akl_sha256 *d, char hex[AKL_SHA256_HEX + 1]);

/* Free it; NULL is fine. */
void akl_sha256_free(struct akl_sha256 *d);

/* Overwrite a secret that is no longer needed. */
void akl_wipe(void *secret, size_t size);

#endif
