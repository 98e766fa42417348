/* SPDX-License-Identifier: Apache-2.0 */
/* symbolize/pathname.h - tidies the names of source files. */
#ifndef MT_SYMBOLIZE_PATHNAME_H
#define MT_SYMBOLIZE_PATHNAME_H

/* "/b/./src/x/../y.c" becomes "/b/src/y.c": compilers join the folder of the build and the name
 * given to them. By text alone, as the folders are on another machine. The caller frees; NULL is
 * out of memory. */
char *pathname_clean(const char *path);

#endif
