/* SPDX-License-Identifier: MIT */
/* Other users, and file system places that only the test sees. For root only. */
#ifndef TESTS_OTHERS_H
#define TESTS_OTHERS_H

#include "harness.h"

#include <signal.h>
#include <sys/stat.h>

/* Unused user and group numbers. */
enum { OTHER_USER = 4242, THIRD_USER = 4343 };

/* main() returns this, Meson's number for a skipped test, if the process is not root. */
enum { TH_SKIPPED = 77 };
bool th_is_root(void);

/* Becomes that user for good, with its own group and no further ones. */
void th_become(uid_t user);
/* Gives this process and its children an empty /tmp that every user may write to, and an empty /run that only root
 * may. */
void th_hide_tmp_and_run(void);
/* Gives them an empty /run only. There a directory whose owner has no number can be out of other users' reach; in /tmp
 * it cannot. */
void th_hide_run(void);
/* Unsets LM_RUNTIME_DIR and XDG_RUNTIME_DIR. */
void th_forget_runtime_directory(void);
/* Returns a path below LM_RUNTIME_DIR; valid until the next call. */
const char *th_runtime(const char *below);
/* Forks a child of the test itself, which so shares its places; returns when the child has called th_branch_ready. */
pid_t th_branch(void (*program)(int ready, void *info), void *info);
void th_branch_ready(int ready);
/* Sends SIGKILL, and returns when the process is gone. */
void th_branch_end(pid_t branch);
/* Runs the body as that user in a child of the test, which must end well. */
void th_do_as(uid_t user, void (*body)(void));
/* Starts a process of that user that listens at the path, and counts in `word` the clients that sent it anything. */
pid_t th_decoy(const char *path, unsigned word, uid_t user);

/* Finds the path of a program that was built beside this test. */
void th_find_program(const char *name, char *path, size_t size);

/* The standard output and error stream of a program, and its status. */
struct th_output {
    int status; /* from waitpid */
    char text[65536];
};
void th_execute(struct th_output *output, const char *const *words);

#endif
