/* What holds for commands in the sandbox, whoever started ix. Run as root by test_sandbox_run, as an ordinary user by test_sandbox_rootless. */
#ifndef TEST_SANDBOX_CASES_H
#define TEST_SANDBOX_CASES_H

#include <pthread.h>
#include <signal.h>
#include <sys/syscall.h>
#include <time.h>

#include "base/clock.h"
#include "test_sandbox_box.h"

static void exit_status_is_returned(void **state)
{
	assert_int_equal(box_sh(*state, "exit 0"), 0);
	assert_int_equal(box_sh(*state, "exit 3"), 3);
	assert_int_equal(box_run(*state, (const char *const[]){ "true", NULL }), 0);
	assert_int_equal(box_run(*state, (const char *const[]){ "false", NULL }), 1);
}

static void death_by_signal_is_128_and_its_number(void **state)
{
	/* By itself the first process of a pid namespace only dies of signals that the kernel forces on it. */
	assert_int_equal(box_sh(*state, "sh -c 'kill -TERM $$'"), 128 + SIGTERM);
	assert_int_equal(box_sh(*state, "sh -c 'kill -KILL $$'; exit $?"), 128 + SIGKILL);
}

static void missing_command_is_127_with_a_line(void **state)
{
	struct box *box = *state;

	assert_int_equal(box_run(box, (const char *const[]){ "no-such-thing", NULL }), 127);
	assert_string_equal(box->out, "no-such-thing: not found in PATH\n");
	assert_int_equal(box_run(box, (const char *const[]){ "/no/such/thing", NULL }), 127);
	assert_string_equal(box->out, "/no/such/thing: No such file or directory\n");
	box_write(box, "lower/script", "#!/no/such/interpreter\n");
	assert_int_equal(chmod(box_path(box, "lower/script"), 0755), 0);
	assert_int_equal(box_run(box, (const char *const[]){ "/script", NULL }), 127);
	assert_string_equal(box->out, "/script: the interpreter or loader that it names does not exist\n");
}

static void command_that_is_not_executable_is_126(void **state)
{
	struct box *box = *state;

	box_write(box, "lower/data", "text\n");
	assert_int_equal(box_run(box, (const char *const[]){ "/data", NULL }), 126);
	assert_string_equal(box->out, "/data: Permission denied\n");
	assert_int_equal(chmod(box_path(box, "lower/data"), 0755), 0);
	assert_int_equal(box_run(box, (const char *const[]){ "/data", NULL }), 126);
	assert_non_null(strstr(box->out, "exec format error"));
}

static void working_directory_is_made(void **state)
{
	struct box *box = *state;
	struct stat st;

	box->plan.cwd = "/srv/app/deep";
	box_expect(box, "pwd; stat -c '%a %u' . ..", "/srv/app/deep\n755 0\n755 0\n");
	assert_int_equal(stat(box_path(box, "upper/srv/app/deep"), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0755);
}

static void relative_working_directory_is_refused(void **state)
{
	struct box *box = *state;

	box->plan.cwd = "app";
	assert_int_equal(box_sh(box, "true"), -IX_EARG);
	assert_string_equal(box->err.msg, "working directory 'app' is not absolute");
}

static void user_name_brings_its_groups_and_home(void **state)
{
	struct box *box = *state;

	box->plan.user = "app";
	box_expect(box, "id -u; id -g; id -G; echo $HOME", "1000\n1001\n1001 4 50\n/home/app\n");
}

static void user_number_without_entry_is_taken(void **state)
{
	struct box *box = *state;

	box->plan.user = "4242";
	box_expect(box, "id -u; id -g; id -G; echo $HOME", "4242\n0\n0\n/\n");
	box->plan.user = "4242:99";
	box_expect(box, "id -u; id -g; id -G", "4242\n99\n99\n");
}

static void user_and_group_replace_the_memberships(void **state)
{
	struct box *box = *state;

	box->plan.user = "app:staff";
	box_expect(box, "id -u; id -g; id -G", "1000\n50\n50\n");
}

static void unknown_user_is_an_error(void **state)
{
	struct box *box = *state;

	box->plan.user = "foo";
	assert_int_equal(box_sh(box, "true"), -IX_EARG);
	assert_string_equal(box->err.msg, "unable to find user foo: no matching entries in passwd file");
}

static void home_of_the_environment_wins(void **state)
{
	struct box *box = *state;
	const char *env[] = { box_env[0], "HOME=/elsewhere", NULL };

	box_expect(box, "echo $HOME", "/root\n");
	box->plan.env = env;
	box_expect(box, "echo $HOME", "/elsewhere\n");
}

static void environment_is_exactly_the_plan(void **state)
{
	struct box *box = *state;
	const char *env[] = { box_env[0], "HOME=/", "A=1", NULL };

	box->plan.env = env;
	assert_int_equal(box_run(box, (const char *const[]){ "env", NULL }), 0);
	assert_string_equal(box->out, "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\nHOME=/\nA=1\n");
}

static void without_network_there_is_loopback(void **state)
{
	struct box *box = *state;

	box->plan.no_network = true;
	box_expect(box, "ls /sys/class/net; read flags < /sys/class/net/lo/flags; echo $((flags & 1))", "lo\n1\n");
}

static void otherwise_the_network_is_the_hosts(void **state)
{
	struct box *box = *state;
	char own[64], line[80];
	ssize_t n = readlink("/proc/self/ns/net", own, sizeof(own) - 1);

	assert_true(n > 0);
	own[n] = '\0';
	snprintf(line, sizeof(line), "%s\n", own);
	box_expect(box, "readlink /proc/self/ns/net", line);
	box->plan.no_network = true;
	assert_int_equal(box_sh(box, "readlink /proc/self/ns/net"), 0);
	assert_string_not_equal(box->out, line);
}

static void host_name_is_set_inside_only(void **state)
{
	struct box *box = *state;
	char before[256], after[256];

	assert_int_equal(gethostname(before, sizeof(before)), 0);
	box_expect(box, "uname -n", "ix\n");
	box->plan.hostname = "builder";
	box_expect(box, "uname -n", "builder\n");
	assert_int_equal(gethostname(after, sizeof(after)), 0);
	assert_string_equal(before, after);
}

static void command_is_alone_in_its_pid_namespace(void **state)
{
	box_expect(*state, "echo $$; for p in /proc/[0-9]*; do echo $p; done", "1\n/proc/1\n");
}

static void read_only_mounts_cannot_be_written(void **state)
{
	struct box *box = *state;
	struct ix_jail_mount *ro = box_mount(box), *rw = box_mount(box);

	box_mkdir(box, "shared", 0755);
	*ro = (struct ix_jail_mount){
		.kind = IX_JAIL_BIND, .source = box_path(box, "shared"), .target = "/ro", .read_only = true, .tree_fd = -1
	};
	*rw = (struct ix_jail_mount){ .kind = IX_JAIL_BIND, .source = ro->source, .target = "/mnt/rw", .tree_fd = -1 };
	box_expect(box, "echo hi > /mnt/rw/file && cat /ro/file; echo no 2>/dev/null > /ro/other || echo refused", "hi\nrefused\n");
	assert_int_equal(access(box_path(box, "shared/file"), F_OK), 0);
	/* The mount points are gone again. */
	assert_int_equal(access(box_path(box, "upper/ro"), F_OK), -1);
	assert_int_equal(access(box_path(box, "upper/mnt"), F_OK), -1);
}

static void files_are_mounted_on_files(void **state)
{
	struct box *box = *state;
	struct ix_jail_mount *mount = box_mount(box);

	box_write(box, "secret", "s3cret");
	*mount = (struct ix_jail_mount){
		.kind = IX_JAIL_BIND,
		.source = box_path(box, "secret"),
		.target = "/run/secrets/token",
		.read_only = true,
		.tree_fd = -1,
	};
	box_expect(box, "cat /run/secrets/token", "s3cret");
	assert_int_equal(access(box_path(box, "upper/run"), F_OK), -1);
	mount->target = "/tmp";
	assert_int_equal(box_sh(box, "true"), -IX_EARG);
	assert_string_equal(box->err.msg, "cannot mount on /tmp: it is a directory, and what is mounted is a file");
}

static void tmpfs_has_its_size_and_mode(void **state)
{
	struct box *box = *state;
	struct ix_jail_mount *mount = box_mount(box);

	*mount = (struct ix_jail_mount){ .kind = IX_JAIL_TMPFS, .target = "/scratch", .size = 1 << 20, .mode = 0750, .tree_fd = -1 };
	box_expect(box, "stat -fc %b*%S /scratch | { IFS='*' read a b; echo $((a * b)); }; stat -c %a /scratch", "1048576\n750\n");
	*mount = (struct ix_jail_mount){ .kind = IX_JAIL_TMPFS, .target = "/scratch", .tree_fd = -1 };
	box_expect(box, "stat -c %a /scratch", "1777\n");
}

static void mount_below_a_mount_gets_its_point_in_there(void **state)
{
	struct box *box = *state;
	struct ix_jail_mount *outer = box_mount(box), *inner = box_mount(box);

	box_write(box, "file", "inner");
	*outer = (struct ix_jail_mount){ .kind = IX_JAIL_TMPFS, .target = "/run", .tree_fd = -1 };
	*inner = (struct ix_jail_mount){ .kind = IX_JAIL_BIND, .source = box_path(box, "file"), .target = "/run/a/b", .tree_fd = -1 };
	box_expect(box, "cat /run/a/b", "inner");
	assert_int_equal(access(box_path(box, "upper/run"), F_OK), -1);
}

static void parts_of_a_tree_are_mounted(void **state)
{
	struct box *box = *state;
	struct ix_jail_mount *whole = box_mount(box), *part = box_mount(box), *file = box_mount(box);
	ix_auto_free char *a = ix_strdup(box_path(box, "a"));
	ix_auto_free char *b = ix_strdup(box_path(box, "b"));
	const char *lowers[] = { a, b };
	int tree = -1;

	box_mkdir(box, "a", 0755);
	box_mkdir(box, "b", 0755);
	box_mkdir(box, "b/dir", 0755);
	box_write(box, "a/top", "top");
	box_write(box, "b/dir/file", "file");
	assert_int_equal(symlink("/dir/file", box_path(box, "b/link")), 0);
	assert_int_equal(ix_overlay_open(&(struct ix_overlay){ .lowers = lowers, .nlowers = 2 }, &tree, &box->err), 0);
	*whole = (struct ix_jail_mount){ .kind = IX_JAIL_OVERLAY, .subpath = "", .tree_fd = tree, .target = "/whole", .read_only = true };
	*part = (struct ix_jail_mount){ .kind = IX_JAIL_OVERLAY, .subpath = "dir", .tree_fd = tree, .target = "/part", .read_only = true };
	*file = (struct ix_jail_mount){ .kind = IX_JAIL_OVERLAY, .subpath = "/link", .tree_fd = tree, .target = "/one", .read_only = true };
	box_expect(box, "cat /whole/top /part/file /one; ls /part", "topfilefilefile\n");
	close(tree);
}

static void hosts_and_resolv_conf_appear_and_go(void **state)
{
	struct box *box = *state;
	struct timespec past[2] = { { 1000000000, 1 }, { 1000000000, 2 } };
	struct stat st;

	box_write(box, "resolv", "nameserver 192.0.2.1\n");
	box->plan.hosts_file = "127.0.0.1 localhost\n";
	box->plan.resolv_file = box_path(box, "resolv");
	assert_int_equal(utimensat(AT_FDCWD, box_path(box, "lower/etc"), past, 0), 0);
	box_expect(box, "cat /etc/hosts /etc/resolv.conf", "127.0.0.1 localhost\nnameserver 192.0.2.1\n");
	assert_int_equal(access(box_path(box, "upper/etc/hosts"), F_OK), -1);
	assert_int_equal(access(box_path(box, "upper/etc/resolv.conf"), F_OK), -1);
	assert_int_equal(fstatat(box->plan.root_fd, "etc", &st, 0), 0);
	assert_int_equal(st.st_mtim.tv_sec, 1000000000);
	assert_int_equal(st.st_mtim.tv_nsec, 2);
	assert_int_equal(fstatat(box->plan.root_fd, "proc", &st, 0), -1);
}

static void what_the_command_changes_keeps_its_time(void **state)
{
	struct box *box = *state;
	struct timespec past[2] = { { 1000000000, 1 }, { 1000000000, 2 } };
	struct stat st;

	box->plan.hosts_file = "";
	assert_int_equal(utimensat(AT_FDCWD, box_path(box, "lower/etc"), past, 0), 0);
	box_expect(box, "echo 1 > /etc/new", "");
	assert_int_equal(fstatat(box->plan.root_fd, "etc", &st, 0), 0);
	assert_true(st.st_mtim.tv_sec > 1000000000);
	assert_int_equal(access(box_path(box, "upper/etc/new"), F_OK), 0);
	assert_int_equal(access(box_path(box, "upper/etc/hosts"), F_OK), -1);
}

static void dangling_resolv_conf_is_followed_inside(void **state)
{
	struct box *box = *state;

	box_write(box, "resolv", "nameserver 192.0.2.1\n");
	box->plan.resolv_file = box_path(box, "resolv");
	assert_int_equal(symlink("../run/systemd/resolve/stub-resolv.conf", box_path(box, "lower/etc/resolv.conf")), 0);
	box_expect(box, "cat /etc/resolv.conf", "nameserver 192.0.2.1\n");
	assert_int_equal(access(box_path(box, "upper/run"), F_OK), -1);
}

static void hostile_links_stay_inside(void **state)
{
	struct box *box = *state;
	struct ix_jail_mount *mount = box_mount(box);
	char outside[128];

	snprintf(outside, sizeof(outside), "../../../../../..%s/outside", box->dir);
	box_mkdir(box, "outside", 0755);
	assert_int_equal(symlink(outside, box_path(box, "lower/evil")), 0);
	box_write(box, "file", "mounted");
	*mount = (struct ix_jail_mount){ .kind = IX_JAIL_BIND, .source = box_path(box, "file"), .target = "/evil/etc/x", .tree_fd = -1 };
	box_expect(box, "cat /evil/etc/x", "mounted");
	assert_int_equal(access(box_path(box, "outside/etc"), F_OK), -1);
	assert_int_equal(rename(box_path(box, "lower/etc"), box_path(box, "lower/etc.real")), 0);
	assert_int_equal(symlink("/../..", box_path(box, "lower/etc")), 0);
	box->plan.hosts_file = "hosts\n";
	box_expect(box, "cat /hosts", "hosts\n");
	assert_int_equal(access(box_path(box, "upper/hosts"), F_OK), -1);
}

static void machine_root_is_out_of_reach(void **state)
{
	/* Nothing lies above, below or on top of the root. */
	box_expect(*state, "[ /.. -ef / ] && [ /proc/1/root/../../usr -ef /usr ] && cut -d' ' -f5 /proc/self/mountinfo | grep -cx /",
		   "1\n");
}

static void looping_links_are_an_error(void **state)
{
	struct box *box = *state;
	struct ix_jail_mount *mount = box_mount(box);

	assert_int_equal(symlink("/b", box_path(box, "lower/a")), 0);
	assert_int_equal(symlink("/a", box_path(box, "lower/b")), 0);
	*mount = (struct ix_jail_mount){ .kind = IX_JAIL_TMPFS, .target = "/a/x", .tree_fd = -1 };
	assert_int_equal(box_sh(box, "true"), -IX_ESYS);
	assert_string_equal(box->err.msg, "mount point /a/x: /a: Too many levels of symbolic links");
}

static void devices_are_there(void **state)
{
	box_expect(*state,
		   "echo x > /dev/null && head -c 3 /dev/zero | wc -c && head -c 3 /dev/urandom | wc -c && ls /dev | tr '\\n' ' ' && "
		   "stat -c %a /dev/null /dev/shm && [ -c /dev/ptmx ] && readlink /dev/stdin",
		   "3\n3\ncore fd full mqueue null ptmx pts random shm stderr stdin stdout tty urandom zero 666\n1777\n/proc/self/fd/0\n");
}

static void standard_output_can_be_reopened_by_an_ordinary_user(void **state)
{
	struct box *box = *state;
	int pipe_fds[2], status = -1;
	char text[16] = "";

	assert_int_equal(pipe2(pipe_fds, O_CLOEXEC), 0);
	box_open_root(box);
	box->plan.user = "app";
	box->plan.argv = (const char *const[]){ "/bin/sh", "-c", "echo again > /dev/stdout", NULL };
	box->plan.stdout_fd = box->plan.stderr_fd = pipe_fds[1];
	assert_int_equal(ix_sandbox_run(&box->plan, NULL, &status, &box->err), 0);
	assert_int_equal(read(pipe_fds[0], text, sizeof(text) - 1), 6);
	assert_string_equal(text, "again\n");
	assert_int_equal(status, 0);
	close(pipe_fds[0]);
	close(pipe_fds[1]);
}

static void no_descriptor_leaks_into_the_command(void **state)
{
	int leak = open("/dev/null", O_RDONLY); /* not close-on-exec */

	/* ls opens the directory itself */
	box_expect(*state, "ls /proc/self/fd | tr '\\n' ' '", "0 1 2 3 ");
	close(leak);
}

static void machine_paths_are_masked(void **state)
{
	struct box *box = *state;

	box_expect(box,
		   "for p in /proc/kcore /proc/keys /proc/timer_list; do [ ! -e $p ] || [ \"$(stat -c %t:%T $p)\" = 1:3 ] || echo $p; done;"
		   "ls -A /sys/firmware 2>/dev/null; true 2>/dev/null > /proc/sys/kernel/core_pattern || echo sys;"
		   "true 2>/dev/null > /proc/sysrq-trigger || echo sysrq; touch /sys/kernel/x 2>/dev/null || echo ro",
		   "sys\nsysrq\nro\n");
}

static void capabilities_are_the_fourteen(void **state)
{
	struct box *box = *state;

	box_expect(box, "grep -E 'Cap(Inh|Prm|Eff|Bnd|Amb)|NoNewPrivs|^Seccomp:' /proc/self/status",
		   "CapInh:\t0000000000000000\nCapPrm:\t00000000a80425fb\nCapEff:\t00000000a80425fb\nCapBnd:\t00000000a80425fb\n"
		   "CapAmb:\t0000000000000000\nNoNewPrivs:\t0\nSeccomp:\t2\n");
	box->plan.user = "app";
	box_expect(box, "grep -E 'Cap(Prm|Eff|Bnd)' /proc/self/status",
		   "CapPrm:\t0000000000000000\nCapEff:\t0000000000000000\nCapBnd:\t00000000a80425fb\n");
}

static void insecure_means_everything(void **state)
{
	struct box *box = *state;

	box->plan.insecure = true;
	box_expect(box, "grep ^Seccomp: /proc/self/status; mkdir /m && mount -t tmpfs none /m && touch /m/x && ls /m", "Seccomp:\t0\nx\n");
}

static void forbidden_calls_fail_with_eperm(void **state)
{
	struct box *box = *state;
	char script[1024];

	assert_int_equal(box_sh(box, "mkdir /m && mount -t tmpfs none /m 2>/dev/null"), 32);
	assert_int_equal(box_sh(box, "unshare -U true 2>/dev/null"), 1);
	if (!host_has("/usr/bin/perl"))
		return;
	snprintf(script, sizeof(script),
		 "perl -e 'for ([%d,0],[%d,0],[%d,0],[%d,40,1],[%d,0,0x5412],[100000+0],[0x40000027],[%d,2,2]) { $! = 0; $r = "
		 "syscall($$_[0], map { $_ } "
		 "(@$_[1..$#$_], (0) x 4)[0..3]); print $r >= 0 ? \"ok\" : $!+0, \" \" }'",
		 SYS_keyctl, SYS_bpf, SYS_clone3, SYS_socket, SYS_ioctl, SYS_socket);
	/* keyctl, bpf: EPERM; clone3: ENOSYS; vsock, TIOCSTI: EPERM; calls newer than the filter: ENOSYS; an ordinary socket */
	assert_int_equal(box_sh(box, script), 0);
	assert_string_equal(box->out, "1 1 38 1 1 38 38 ok ");
}

static void threads_and_subprocesses_work(void **state)
{
	if (!host_has("/usr/bin/perl"))
		return;
	box_expect(*state, "perl -e 'system(\"true\") == 0 or die; print `echo sub`'; (sleep 0; echo bg) & wait", "sub\nbg\n");
}

static void files_of_other_users_can_be_made(void **state)
{
	box_expect(*state, "touch /f && chown 1000:1001 /f && chmod 4755 /f && stat -c '%u:%g %a' /f && mkfifo /p && echo ok",
		   "1000:1001 4755\nok\n");
}

/* --- cancellation --- */

struct canceler {
	struct ix_cancel *cancel;
	const char *wait_for; /* a path that appears when the command is under way */
};

static void *raise_when_there(void *data)
{
	struct canceler *canceler = data;

	for (int i = 0; i < 2000 && access(canceler->wait_for, F_OK) < 0; i++)
		usleep(5000);
	ix_cancel_raise(canceler->cancel);
	return NULL;
}

static void cancel_kills_everything(void **state)
{
	struct box *box = *state;
	struct canceler canceler = { ix_cancel_new(), NULL };
	struct ix_jail_mount *mount = box_mount(box);
	ix_auto_free char *beat = ix_strdup(box_path(box, "shared/beat"));
	ix_auto_close int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	struct stat before, after;
	pthread_t thread;
	uint64_t start;
	int status = -1;

	box_mkdir(box, "shared", 0755);
	*mount = (struct ix_jail_mount){ .kind = IX_JAIL_BIND, .source = box_path(box, "shared"), .target = "/shared", .tree_fd = -1 };
	canceler.wait_for = beat;
	box_open_root(box);
	box->plan.argv = (const char *const[]){
		"/bin/sh", "-c", "trap '' TERM INT; (setsid sh -c 'while :; do echo x >> /shared/beat; sleep 0.01; done' &); sleep 600",
		NULL
	};
	box->plan.stdout_fd = box->plan.stderr_fd = null;
	assert_int_equal(pthread_create(&thread, NULL, raise_when_there, &canceler), 0);
	start = ix_now_ms();
	assert_int_equal(ix_sandbox_run(&box->plan, canceler.cancel, &status, &box->err), -IX_ECANCELED);
	assert_true(ix_now_ms() - start < 15000);
	assert_int_equal(stat(beat, &before), 0);
	usleep(100000);
	assert_int_equal(stat(beat, &after), 0);
	assert_int_equal(before.st_size, after.st_size);
	pthread_join(thread, NULL);
	/* Raised before the start it does not even begin. */
	assert_int_equal(ix_sandbox_run(&box->plan, canceler.cancel, &status, &box->err), -IX_ECANCELED);
	ix_cancel_free(canceler.cancel);
}

static void what_is_left_running_dies_with_the_command(void **state)
{
	struct box *box = *state;
	struct ix_jail_mount *mount = box_mount(box);
	struct stat before, after;

	box_mkdir(box, "shared", 0755);
	*mount = (struct ix_jail_mount){ .kind = IX_JAIL_BIND, .source = box_path(box, "shared"), .target = "/shared", .tree_fd = -1 };
	box_expect(box,
		   "(setsid sh -c 'while :; do echo x >> /shared/beat; sleep 0.01; done' &) ; while [ ! -e /shared/beat ]; do sleep 0.01; "
		   "done",
		   "");
	assert_int_equal(stat(box_path(box, "shared/beat"), &before), 0);
	usleep(100000);
	assert_int_equal(stat(box_path(box, "shared/beat"), &after), 0);
	assert_int_equal(before.st_size, after.st_size);
}

/* --- several at once --- */

struct parallel {
	struct ix_jail_plan plan;
	int status, r;
	struct ix_err err;
};

static void *run_parallel(void *data)
{
	struct parallel *one = data;

	one->r = ix_sandbox_run(&one->plan, NULL, &one->status, &one->err);
	return NULL;
}

static void several_run_at_once(void **state)
{
	enum { COUNT = 6 };
	static const char *const argv[] = { "/bin/sh", "-c", "[ $(ls /proc/self/fd | wc -l) = 4 ] && echo $$ > /done", NULL };
	struct box *box = *state;
	struct parallel runs[COUNT];
	pthread_t threads[COUNT];
	ix_auto_free char *lower = ix_strdup(box_path(box, "lower"));
	const char *lowers[] = { lower };
	ix_auto_close int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	for (int i = 0; i < COUNT; i++) {
		char name[32];
		ix_auto_free char *upper = NULL;
		ix_auto_free char *work = NULL;

		snprintf(name, sizeof(name), "upper%d", i);
		box_mkdir(box, name, 0755);
		upper = ix_strdup(box_path(box, name));
		snprintf(name, sizeof(name), "work%d", i);
		box_mkdir(box, name, 0755);
		work = ix_strdup(box_path(box, name));
		runs[i] = (struct parallel){ .plan = box->plan, .status = -1 };
		runs[i].plan.stdout_fd = runs[i].plan.stderr_fd = null;
		runs[i].plan.argv = argv;
		assert_int_equal(ix_overlay_open(&(struct ix_overlay){ lowers, 1, upper, work }, &runs[i].plan.root_fd, &box->err), 0);
	}
	for (int i = 0; i < COUNT; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, run_parallel, &runs[i]), 0);
	for (int i = 0; i < COUNT; i++) {
		char name[32];

		pthread_join(threads[i], NULL);
		assert_int_equal(runs[i].r, 0);
		assert_int_equal(runs[i].status, 0);
		snprintf(name, sizeof(name), "upper%d/done", i);
		assert_int_equal(access(box_path(box, name), F_OK), 0);
		close(runs[i].plan.root_fd);
	}
}

static void nothing_stays_mounted(void **state)
{
	ix_auto_buf before = { 0 }, after = { 0 };
	struct ix_err err;

	box_open_root(*state);
	assert_int_equal(ix_read_file(AT_FDCWD, "/proc/self/mounts", &before, &err), 0);
	assert_int_equal(box_sh(*state, "true"), 0);
	assert_int_equal(ix_read_file(AT_FDCWD, "/proc/self/mounts", &after, &err), 0);
	assert_string_equal(before.data, after.data);
}

#define BOX_TEST(fn) cmocka_unit_test_setup_teardown(fn, box_setup, box_teardown)
#define BOX_CASES                                                                                                                          \
	BOX_TEST(exit_status_is_returned), BOX_TEST(death_by_signal_is_128_and_its_number), BOX_TEST(missing_command_is_127_with_a_line),  \
		BOX_TEST(command_that_is_not_executable_is_126), BOX_TEST(working_directory_is_made),                                      \
		BOX_TEST(relative_working_directory_is_refused), BOX_TEST(user_name_brings_its_groups_and_home),                           \
		BOX_TEST(user_number_without_entry_is_taken), BOX_TEST(user_and_group_replace_the_memberships),                            \
		BOX_TEST(unknown_user_is_an_error), BOX_TEST(home_of_the_environment_wins), BOX_TEST(environment_is_exactly_the_plan),     \
		BOX_TEST(without_network_there_is_loopback), BOX_TEST(otherwise_the_network_is_the_hosts),                                 \
		BOX_TEST(host_name_is_set_inside_only), BOX_TEST(command_is_alone_in_its_pid_namespace),                                   \
		BOX_TEST(read_only_mounts_cannot_be_written), BOX_TEST(files_are_mounted_on_files), BOX_TEST(tmpfs_has_its_size_and_mode), \
		BOX_TEST(mount_below_a_mount_gets_its_point_in_there), BOX_TEST(parts_of_a_tree_are_mounted),                              \
		BOX_TEST(hosts_and_resolv_conf_appear_and_go), BOX_TEST(what_the_command_changes_keeps_its_time),                          \
		BOX_TEST(dangling_resolv_conf_is_followed_inside), BOX_TEST(hostile_links_stay_inside),                                    \
		BOX_TEST(machine_root_is_out_of_reach), BOX_TEST(looping_links_are_an_error), BOX_TEST(devices_are_there),                 \
		BOX_TEST(standard_output_can_be_reopened_by_an_ordinary_user), BOX_TEST(no_descriptor_leaks_into_the_command),             \
		BOX_TEST(machine_paths_are_masked), BOX_TEST(capabilities_are_the_fourteen), BOX_TEST(insecure_means_everything),          \
		BOX_TEST(forbidden_calls_fail_with_eperm), BOX_TEST(threads_and_subprocesses_work),                                        \
		BOX_TEST(files_of_other_users_can_be_made), BOX_TEST(cancel_kills_everything),                                             \
		BOX_TEST(what_is_left_running_dies_with_the_command), BOX_TEST(several_run_at_once), BOX_TEST(nothing_stays_mounted)

#endif
