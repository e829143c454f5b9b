/* SPDX-License-Identifier: MIT */
#include "others.h"

#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

bool th_is_root(void)
{
    if (geteuid() != 0)
        fprintf(stderr, "skipped: only root can become somebody else\n");
    return geteuid() == 0;
}

void th_become(uid_t user)
{
    gid_t group = (gid_t)user;
    assert_int_equal(setgroups(0, NULL), 0);
    assert_int_equal(setresgid(group, group, group), 0);
    assert_int_equal(setresuid(user, user, user), 0);
    assert_int_equal(prctl(PR_SET_PDEATHSIG, SIGKILL), 0); /* a change of user clears this */
}

void th_hide_run(void)
{
    assert_int_equal(unshare(CLONE_NEWNS), 0);
    assert_int_equal(mount("none", "/", "none", MS_REC | MS_PRIVATE, NULL), 0);
    assert_int_equal(mount("none", "/run", "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755"), 0);
}

void th_hide_tmp_and_run(void)
{
    th_hide_run();
    assert_int_equal(mount("none", "/tmp", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777"), 0);
}

void th_forget_runtime_directory(void)
{
    unsetenv("LM_RUNTIME_DIR");
    unsetenv("XDG_RUNTIME_DIR");
}

const char *th_runtime(const char *below)
{
    static char path[512];
    snprintf(path, sizeof path, "%s/%s", getenv("LM_RUNTIME_DIR"), below);
    return path;
}

static void listen_at(int listener, const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    assert_true(strlen(path) < sizeof address.sun_path);
    strcpy(address.sun_path, path);
    assert_int_equal(bind(listener, (const struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(chmod(path, 0666), 0);
    assert_int_equal(listen(listener, 4096), 0);
}

pid_t th_branch(void (*program)(int ready, void *info), void *info)
{
    int ready[2];
    char byte;
    assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
    fflush(NULL);
    pid_t process = fork();
    assert_true(process >= 0);
    if (process == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        close(ready[0]);
        program(ready[1], info);
        _exit(0);
    }
    close(ready[1]);
    ssize_t got = read(ready[0], &byte, 1);
    close(ready[0]);
    assert_true(got == 1);
    return process;
}

void th_branch_ready(int ready)
{
    assert_int_equal(write(ready, "", 1), 1);
    close(ready);
}

void th_branch_end(pid_t branch)
{
    assert_int_equal(kill(branch, SIGKILL), 0);
    assert_int_equal(waitpid(branch, NULL, 0), branch);
}

void th_do_as(uid_t user, void (*body)(void))
{
    int status;
    fflush(NULL);
    pid_t process = fork();
    assert_true(process >= 0);
    if (process == 0) {
        if (user != 0)
            th_become(user);
        body();
        fflush(NULL);
        _exit(0);
    }
    assert_int_equal(waitpid(process, &status, 0), process);
    assert_int_equal(status, 0);
}

struct decoy {
    const char *path;
    unsigned word;
    uid_t user;
};

static void be_decoy(int ready, void *info)
{
    const struct decoy *decoy = info;
    th_become(decoy->user);
    int listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    listen_at(listener, decoy->path);
    th_branch_ready(ready);
    for (;;) {
        char hello[64];
        int client = accept(listener, NULL, NULL);
        if (client >= 0 && recv(client, hello, sizeof hello, 0) > 0)
            th_add(decoy->word); /* the decoy received something */
        close(client);
    }
}

pid_t th_decoy(const char *path, unsigned word, uid_t user)
{
    struct decoy decoy = {path, word, user};
    return th_branch(be_decoy, &decoy);
}

void th_execute(struct th_output *output, const char *const *words)
{
    int ends[2];
    size_t length = 0;
    ssize_t got;
    assert_int_equal(pipe(ends), 0);
    fflush(NULL);
    pid_t process = fork();
    assert_true(process >= 0);
    if (process == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        dup2(ends[1], 1);
        dup2(ends[1], 2);
        close(ends[0]);
        close(ends[1]);
        execvp(words[0], (char *const *)(uintptr_t)words);
        _exit(127);
    }
    close(ends[1]);
    while ((got = read(ends[0], output->text + length, sizeof output->text - 1 - length)) > 0)
        length += (size_t)got;
    output->text[length] = '\0';
    close(ends[0]);
    assert_int_equal(waitpid(process, &output->status, 0), process);
}

void th_find_program(const char *name, char *path, size_t size)
{
    ssize_t length = readlink("/proc/self/exe", path, size - 1);
    assert_true(length > 0);
    path[length] = '\0';
    char *own_name = strrchr(path, '/') + 1;
    snprintf(own_name, size - (size_t)(own_name - path), "%s", name);
    assert_int_equal(access(path, X_OK), 0);
}
