/* SPDX-License-Identifier: Apache-2.0 */
/* cmds/metadata.h - what a capture says about its process and how it was made (CAPTURE_META_*). */
#ifndef MT_CMDS_METADATA_H
#define MT_CMDS_METADATA_H

#include "cmds/session.h"

/* Reads it from the target, which must live, and gives it to the session's recorder. */
struct mt_error *metadata_put(const struct session *s) MT_MUST_CHECK;
/* Once more what depends on the interpreter: one was found later. */
struct mt_error *metadata_put_python(const struct session *s) MT_MUST_CHECK;

#endif
