/* SPDX-License-Identifier: Apache-2.0 */
/* base/version.h - the version of everything built from this tree. */
#ifndef MT_BASE_VERSION_H
#define MT_BASE_VERSION_H

#define MT_VERSION "0.1.0"

#endif
