/* SPDX-License-Identifier: MIT */
/*
 * Notices that a service may have started: inotify reports new entries in the folders of the services, or, while those
 * do not exist, in the nearest existing folder above them. An event is only a hint; the look-up that follows checks
 * everything.
 */
#include "../../Mach.h"

#ifndef LM_DETAIL_REGISTRY_PRESENCE_H
#define LM_DETAIL_REGISTRY_PRESENCE_H

#include "registry.h"
#include <sys/inotify.h>

#define LM_PRESENCE_EVENTS (IN_CREATE | IN_MOVED_TO | IN_ATTRIB | IN_DELETE_SELF | IN_MOVE_SELF)

/* Removes the last component; returns false if none is left. */
LM_SETUP bool lm_path_ascend(char *path)
{
    char *slash = strrchr(path, '/');
    if (!slash || strcmp(path, "/") == 0)
        return false;
    slash[slash == path] = '\0';
    return true;
}

/* Watches the folder, or its nearest existing parent. */
LM_SETUP int lm_presence_add(int presence, const char *runtime, const char *folder)
{
    char path[LM_PATH_MAX];
    int length = snprintf(path, sizeof path, "%s/%s", runtime, folder);
    if (length < 0 || (size_t)length >= sizeof path)
        return -ENAMETOOLONG;
    int result;
    do
        result = lm_sys_inotify_add(presence, path, LM_PRESENCE_EVENTS);
    while (result < 0 && result != -ENOSPC && result != -ENOMEM && lm_path_ascend(path));
    return result;
}

LM_SETUP int lm_presence_add_runtime(int presence, const char *runtime)
{
    int result = lm_presence_add(presence, runtime, "locked");
    return result < 0 ? result : lm_presence_add(presence, runtime, "unlocked");
}

/* Returns a descriptor that becomes readable when a service may have started. */
LM_SETUP int lm_presence_open(void)
{
    char path[LM_PATH_MAX];
    int presence = lm_sys_inotify();
    if (presence < 0)
        return presence;
    int result = lm_runtime_path(path, sizeof path);
    if (result == 0)
        result = lm_presence_add_runtime(presence, path);
    if (result >= 0)
        result = lm_presence_add_runtime(presence, LM_SYSTEM_RUNTIME);
    if (result < 0)
        lm_sys_close(&presence);
    return result < 0 ? result : presence;
}

#endif
