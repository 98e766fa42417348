/* SPDX-License-Identifier: Apache-2.0 */
/* reporters/table.h - the places that allocate as one HTML page with a table that sorts and filters.
 *
 * A row is a site (reporters/site.h), an allocation function and, with split threads, a thread, with
 * bytes and allocations of the report's view. The page's data is a gzip stream in base64, decoded
 * by reporters/web/table.js; numbers LEB128, texts a length and bytes:
 *	"MTTB" 1, threads (0, 1)
 *	strings: count, texts
 *	rows: count; columns size, allocations, allocator, thread, location (strings) */
#ifndef MT_REPORTERS_TABLE_H
#define MT_REPORTERS_TABLE_H

#include "reporters/report.h"

#include <stdio.h>

struct mt_error *table_write(const struct report *r, FILE *out) MT_MUST_CHECK;

#endif
