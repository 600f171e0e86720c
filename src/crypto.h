/*
** crypto: what we take from libcrypto: digests, AES, base64, comparing and wiping secrets.
*/
#ifndef AKL_CRYPTO_H
#define AKL_CRYPTO_H

#include <stdbool.h>
#include <stddef.h>

enum { AKL_SHA256_HEX = 64, AKL_SHA1_HEX = 40, AKL_AES_BLOCK = 16 };

struct akl_sha256; /* a digest under way */

/* A new digest, or NULL when memory runs out. */
struct akl_sha256 *akl_sha256_new(void);

bool akl_sha256_update(struct akl_sha256 *d, const void *data, size_t size);

/* Write the digest of all that was given so far as lower-case hex and a zero byte; 'd' may not be
** updated after that. */
bool akl_sha256_finish(struct akl_sha256 *d, char hex[AKL_SHA256_HEX + 1]);

/* Free it; NULL is fine. */
void akl_sha256_free(struct akl_sha256 *d);

/* Bytes that are somebody else's. */
struct akl_piece {
  const void *bytes;
  size_t size;
};

/* Write the SHA-1 of the pieces, one after the other, as lower-case hex and a zero byte. False when
** memory runs out. */
bool akl_sha1(const struct akl_piece *pieces, size_t count, char hex[AKL_SHA1_HEX + 1]);

/* AES in CBC mode without padding: 'size' bytes, a multiple of AKL_AES_BLOCK, from 'in' to 'out'. The
** key has 16, 24 or 32 bytes. False when memory runs out. */
bool akl_aes_cbc(bool encrypt, const struct akl_piece *key, const unsigned char iv[AKL_AES_BLOCK],
                 const unsigned char *in, size_t size, unsigned char *out);

/* Decode standard base64 with its padding and nothing else in it into 'out', which has room for three
** quarters of 'size'. Returns how many bytes that were, -1 if it is not what they would be encoded
** as. */
long akl_base64_decode(const char *text, size_t size, unsigned char *out);

/* Encode into 'out', which has room for four thirds of 'size', three more, and a zero byte. */
void akl_base64_encode(const unsigned char *bytes, size_t size, char *out);

/* Are they equal? Takes as long whatever they hold. */
bool akl_equal(const void *one, const void *other, size_t size);

/* Overwrite a secret that is no longer needed. */
void akl_wipe(void *secret, size_t size);

/* The same for a string, which is freed as well; NULL is fine. */
void akl_wipe_string(char *secret);

#endif
