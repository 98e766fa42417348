/* SPDX-License-Identifier: Apache-2.0 */
/* inject/injection_python.h - what an interpreter in the target changes in an injection (inject/injection.c). */
#ifndef MT_INJECT_INJECTION_PYTHON_H
#define MT_INJECT_INJECTION_PYTHON_H

#include "inject/injection.h"

/* Tells the tracer what in->python is; from then on it reads Python frames. */
void injection_publish_python(struct injection *in);
/* Images came: is there an interpreter among them, when there was none? Its slots go into in->slots, for the
 * caller to publish. in->seeks_python stays true where it must be asked again. */
struct mt_error *injection_take_python(struct injection *in) MT_MUST_CHECK;
/* Functions that the interpreter, or the program, put into its allocator tables since the last call go
 * into in->slots. */
struct mt_error *injection_take_tables(struct injection *in) MT_MUST_CHECK;

#endif
