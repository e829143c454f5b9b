/* SPDX-License-Identifier: MIT */
/* Other users, and places of the file system that only the test sees. For root only. */
#ifndef TESTS_OTHERS_H
#define TESTS_OTHERS_H

#include "harness.h"

#include <signal.h>
#include <sys/stat.h>

/* Users and groups that nobody is. */
enum { OTHER_USER = 4242, THIRD_USER = 4343 };

/* main() returns this, Meson's number for a skipped test, if the process is not root. */
enum { TH_SKIPPED = 77 };
bool th_is_root(void);

/* For good, with that user's own group and no further ones. */
void th_become(uid_t user);
/* A fresh /tmp that every user may write to, and a fresh /run that only root may; for this process and its children. */
void th_hide_tmp_and_run(void);
/* A fresh /run alone, where a directory of no number can be told to be in nobody else's reach, as in /tmp it can't. */
void th_hide_run(void);
/* No LM_RUNTIME_DIR and no XDG_RUNTIME_DIR. */
void th_forget_runtime_directory(void);
/* LM_RUNTIME_DIR with something behind it; valid until the next call. */
const char *th_runtime(const char *below);
/* A child of the test itself, which so shares its places; returns when that has called th_branch_ready. */
pid_t th_branch(void (*program)(int ready, void *info), void *info);
void th_branch_ready(int ready);
/* SIGKILL, and gone when this returns. */
void th_branch_end(pid_t branch);
/* In a child of the test that must end well. */
void th_do_as(uid_t user, void (*body)(void));
/* A process of that user that listens at the path, and counts in `word` who sent it anything. */
pid_t th_decoy(const char *path, unsigned word, uid_t user);

/* The path of a program that was built beside this test. */
void th_find_program(const char *name, char *path, size_t size);

/* What a program that was started with these words wrote to its standard output and error stream, and its status. */
struct th_output {
    int status; /* of waitpid */
    char text[65536];
};
void th_execute(struct th_output *output, const char *const *words);

#endif
