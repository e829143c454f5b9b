/* SPDX-License-Identifier: MIT */
/* Lists service names: the sockets in the folders of the runtime directories. It connects to none of them. */
#include "../../LightMessaging.h"

#ifndef LM_DETAIL_REGISTRY_LISTING_H
#define LM_DETAIL_REGISTRY_LISTING_H

#include "naming.h"

struct lm_listing {
    const char *path;
    int locked, unlocked; /* folders opened with O_PATH; -1: cannot be entered */
    LMServiceEntryCallBack callback;
    void *info;
};

LM_SETUP bool lm_name_is_served(int locked, const char *name)
{
    char path[1 + LM_NAME_MAX + 1];
    snprintf(path, sizeof path, ".%s", name);
    int file = locked < 0 ? -1 : lm_sys_open(locked, path, O_RDONLY | O_NONBLOCK | LM_O_NOFOLLOW, 0);
    bool served = file >= 0 && lm_sys_is_locked(file, LM_LOCK_OWNER);
    lm_sys_close(&file);
    return served;
}

/* Returns false to stop. A name in both folders is reported once, with `locked`. */
LM_SETUP bool lm_listing_tell(void *info, int folder, const char *name)
{
    const struct lm_listing *listing = (const struct lm_listing *)info;
    if (!lm_name_valid(name) || !lm_entry_identity(folder, name).inode)
        return true;
    if (folder == listing->unlocked && listing->locked >= 0 && lm_entry_identity(listing->locked, name).inode)
        return true;
    bool unlocked = listing->unlocked >= 0 && lm_entry_identity(listing->unlocked, name).inode;
    LMServiceEntry entry = {name, listing->path, unlocked, lm_name_is_served(listing->locked, name)};
    return listing->callback(&entry, listing->info);
}

/* Returns 1 to continue, 0 to stop. */
LM_SETUP int lm_listing_run(struct lm_listing *listing)
{
    struct lm_directory runtime, locked, unlocked;
    int result = lm_runtime_open(listing->path, &runtime);
    if (result < 0)
        return lm_absent(result) ? 1 : lm_told(LM_DEED_LIST, "*", listing->path, "", result);
    listing->locked = lm_folder_open(&runtime, "locked", &locked) < 0 ? -1 : locked.descriptor;
    listing->unlocked = lm_folder_open(&runtime, "unlocked", &unlocked) < 0 ? -1 : unlocked.descriptor;
    result = lm_entries_visit(listing->locked, lm_listing_tell, listing) &&
             lm_entries_visit(listing->unlocked, lm_listing_tell, listing);
    lm_sys_close(&listing->locked);
    lm_sys_close(&listing->unlocked);
    lm_sys_close(&runtime.descriptor);
    return result;
}

/* Lists the user's directory and then the system's, even if the user's is not trusted. */
LM_SETUP int lm_listing_run_all(LMServiceEntryCallBack callback, void *info)
{
    char path[LM_PATH_MAX];
    struct lm_listing users = {path, -1, -1, callback, info}, systems = {LM_SYSTEM_RUNTIME, -1, -1, callback, info};
    int result = lm_runtime_path(path, sizeof path);
    if (result < 0)
        return lm_told(LM_DEED_LIST, "*", path, "", result);
    result = lm_listing_run(&users);
    if (result == 0 || strcmp(path, LM_SYSTEM_RUNTIME) == 0)
        return result;
    int system = lm_listing_run(&systems);
    return result < 0 ? result : system;
}

LM_API kern_return_t LMListServices(LMServiceEntryCallBack callback, void *info)
{
    if (!callback)
        return KERN_INVALID_ARGUMENT;
    int result = lm_listing_run_all(callback, info);
    return lm_status_told("list", "*", -1, lm_kern_return(result < 0 ? result : 0));
}

#endif
