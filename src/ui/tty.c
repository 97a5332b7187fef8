#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/str.h"
#include "report/report.h"
#include "ui_int.h"

/*
 * The picture is drawn anew ten times a second, in one write: cursor up over the old one, each line cleared to its end, and the rest of the
 * screen cleared. What has to stay (warnings, logs of failures) is written above it.
 */
enum { FRAME_MS = 100, WIDTH_MIN = 40 };

struct canvas {
	struct ix_ui *ui;
	struct ix_buf *out;
	unsigned width, height;
	unsigned lines;
};

static void screen_size(struct ix_ui *ui, unsigned *ret_width, unsigned *ret_height)
{
	struct winsize size;

	*ret_width = 80;
	*ret_height = 24;
	if (ioctl(ui->fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 && size.ws_row > 0) {
		*ret_width = size.ws_col;
		*ret_height = size.ws_row;
	}
	if (*ret_width < WIDTH_MIN)
		*ret_width = WIDTH_MIN;
}

/* Text cut to a number of columns: one for each character, which holds for all we print ourselves. */
static unsigned put_cut(struct ix_buf *out, const char *text, unsigned columns)
{
	unsigned used = 0;

	while (*text && used < columns) {
		size_t n = 1;

		while (((unsigned char)text[n] & 0xc0) == 0x80)
			n++;
		if (used + 1 == columns && text[n]) {
			ix_buf_puts(out, "…");
			return columns;
		}
		ix_buf_put(out, text, n);
		text += n;
		used++;
	}
	return used;
}

static void color(struct canvas *canvas, const char *code)
{
	if (canvas->ui->color)
		ix_buf_printf(canvas->out, "\033[%sm", code);
}

static void end_line(struct canvas *canvas)
{
	color(canvas, "0");
	ix_buf_puts(canvas->out, "\033[K\n");
	canvas->lines++;
}

static const char *icon(const struct row *row)
{
	switch (row->state) {
	case ROW_RUNNING:
		return "●";
	case ROW_OK:
		return "✔";
	case ROW_FAILED:
		return "✘";
	case ROW_CANCELED:
		return "■";
	case ROW_WAITING:
		break;
	}
	return "○";
}

static const char *icon_color(const struct row *row)
{
	static const char *const codes[] = { "2", "33;1", "32", "31;1", "33" };

	return codes[row->state];
}

/* What is going on in the stage, or how it ended. */
static char *status_text(const struct row *row)
{
	char bytes[16];

	if (row->state <= ROW_RUNNING && row->transfer)
		return ix_strdup(row->transfer);
	if (row->state == ROW_RUNNING)
		return row->step ? ix_asprintf("%u/%u %s", row->index, row->nsteps, row->step) : ix_strdup(row->why ? row->why : "");
	if (row->state == ROW_WAITING)
		return ix_asprintf("%s%s%s", row->outcome ? ix_outcome_text(row->outcome) : "waiting", row->why ? ": " : "",
				   row->why ? row->why : "");
	if (row->bytes > 0)
		return ix_asprintf("%s, pushed %s", ix_outcome_text(row->outcome), ix_human_size(row->bytes, bytes));
	return ix_strdup(ix_outcome_text(row->outcome));
}

static void draw_row(struct canvas *canvas, const struct row *row, unsigned depth, unsigned name_width, bool with_log)
{
	ix_auto_free char *status = status_text(row);
	char seconds[16] = "";
	unsigned used = 0, indent = depth * 2;

	if (row->state == ROW_RUNNING)
		ui_seconds(ix_now_ms() - row->start_ms, seconds);
	else if (row->state != ROW_WAITING && row->took_ms >= 100)
		ui_seconds(row->took_ms, seconds);
	ix_buf_printf(canvas->out, " %*s", (int)indent, "");
	color(canvas, icon_color(row));
	ix_buf_printf(canvas->out, "%s ", icon(row));
	color(canvas, "0");
	color(canvas, row->state == ROW_WAITING ? "2" : "1");
	used = 3 + indent + put_cut(canvas->out, row->name, name_width - indent);
	color(canvas, "0");
	ix_buf_printf(canvas->out, "%*s %7s  ", (int)(3 + name_width - used), "", seconds);
	color(canvas, row->state == ROW_RUNNING ? "0" : "2");
	put_cut(canvas->out, status, canvas->width > name_width + 14 ? canvas->width - name_width - 14 : 8);
	end_line(canvas);
	if (!with_log || row->state != ROW_RUNNING || row->tail.count == 0)
		return;
	ix_buf_printf(canvas->out, "%*s", (int)(13 + name_width), "");
	color(canvas, "2");
	put_cut(canvas->out, row->tail.items[row->tail.count - 1], canvas->width > name_width + 14 ? canvas->width - name_width - 14 : 8);
	end_line(canvas);
}

/* Rows in the order of the tree: each behind its parent. depth[i] is that of order[i]. */
static size_t tree_order(const struct ix_ui *ui, size_t *order, unsigned *depth)
{
	ix_auto_free bool *placed = ix_calloc(ui->nrows + 1, sizeof(*placed));
	size_t n = 0;

	for (size_t i = 0; i < ui->nrows; i++) {
		bool has_parent = false;

		for (size_t j = 0; j < ui->nrows && ui->rows[i].parent; j++)
			has_parent = has_parent || (j != i && strcmp(ui->rows[j].name, ui->rows[i].parent) == 0);
		if (has_parent)
			continue;
		order[n] = i;
		depth[n++] = 0;
		placed[i] = true;
	}
	/* Children go behind their parent, and behind the children it has there already. */
	for (size_t at = 0; at < n; at++) {
		size_t insert = at + 1;

		for (size_t j = 0; j < ui->nrows; j++) {
			if (placed[j] || !ui->rows[j].parent || strcmp(ui->rows[j].parent, ui->rows[order[at]].name) != 0)
				continue;
			memmove(order + insert + 1, order + insert, (n - insert) * sizeof(*order));
			memmove(depth + insert + 1, depth + insert, (n - insert) * sizeof(*depth));
			order[insert] = j;
			depth[insert++] = depth[at] + 1;
			placed[j] = true;
			n++;
		}
	}
	return n;
}

static void draw_header(struct canvas *canvas)
{
	struct ix_ui *ui = canvas->ui;
	size_t ended = 0, running = 0;
	char seconds[16];

	for (size_t i = 0; i < ui->nrows; i++) {
		ended += ui->rows[i].state >= ROW_OK;
		running += ui->rows[i].state == ROW_RUNNING;
	}
	color(canvas, "1");
	ix_buf_printf(canvas->out, "ix  %s  %zu of %zu stages", ui_seconds(ix_now_ms() - ui->start_ms, seconds), ended, ui->nrows);
	if (running > 0)
		ix_buf_printf(canvas->out, ", %zu running", running);
	end_line(canvas);
}

static void draw(struct ix_ui *ui, struct ix_buf *out)
{
	struct canvas canvas = { .ui = ui, .out = out };
	ix_auto_free size_t *order = ix_calloc(ui->nrows + 1, sizeof(*order));
	ix_auto_free unsigned *depth = ix_calloc(ui->nrows + 1, sizeof(*depth));
	unsigned name_width = 8, room;
	size_t n = tree_order(ui, order, depth);

	screen_size(ui, &canvas.width, &canvas.height);
	for (size_t i = 0; i < n; i++) {
		unsigned width = (unsigned)strlen(ui->rows[order[i]].name) + 2 * depth[i];

		if (width > name_width)
			name_width = width;
	}
	if (name_width > canvas.width / 3)
		name_width = canvas.width / 3;
	draw_header(&canvas);
	room = canvas.height > 4 ? canvas.height - 3 : 1;
	for (size_t i = 0; i < n; i++) {
		const struct row *row = &ui->rows[order[i]];

		/* A screen too low for all shows what runs. */
		if (n > room && row->state != ROW_RUNNING && row->state != ROW_FAILED)
			continue;
		if (canvas.lines > room)
			break;
		draw_row(&canvas, row, 2 * depth[i] < name_width ? depth[i] : 0, name_width, canvas.lines + (n - i) < room);
	}
	ui->drawn = canvas.lines;
}

static void erase(struct ix_ui *ui, struct ix_buf *out)
{
	if (ui->drawn > 0)
		ix_buf_printf(out, "\033[%uA\r\033[J", ui->drawn);
	ui->drawn = 0;
}

static void redraw(struct ix_ui *ui)
{
	ix_auto_buf out = { 0 };

	if (ui->nrows == 0)
		return;
	if (ui->drawn > 0)
		ix_buf_printf(&out, "\033[%uA\r", ui->drawn);
	draw(ui, &out);
	ix_buf_puts(&out, "\033[J");
	ui_write(ui, &out);
}

void tty_event(struct ix_ui *ui, const struct ix_event *event)
{
	ix_auto_buf out = { 0 }, lasting = { 0 };

	if (event->kind == IX_EVENT_WARNING)
		ix_buf_printf(&lasting, "%swarning:%s %s\n", ui->color ? "\033[33m" : "", ui->color ? "\033[0m" : "", event->text);
	else if (event->kind == IX_EVENT_NOTE)
		ix_buf_printf(&lasting, "%s\n", event->text);
	else if (event->kind == IX_EVENT_STEP_END)
		ui_failure(ui, ui_row(ui, event->stage), event, &lasting);
	if (lasting.len == 0)
		return;
	erase(ui, &out);
	ix_buf_put(&out, lasting.data, lasting.len);
	ui_write(ui, &out);
}

static void *paint(void *data)
{
	struct ix_ui *ui = data;

	pthread_mutex_lock(&ui->lock);
	while (!ui->stop) {
		struct timespec until;

		redraw(ui);
		clock_gettime(CLOCK_REALTIME, &until);
		until.tv_nsec += FRAME_MS * 1000000L;
		if (until.tv_nsec >= 1000000000) {
			until.tv_sec++;
			until.tv_nsec -= 1000000000;
		}
		(void)pthread_cond_timedwait(&ui->wake, &ui->lock, &until);
	}
	redraw(ui);
	pthread_mutex_unlock(&ui->lock);
	return NULL;
}

void tty_start(struct ix_ui *ui)
{
	ui->painting = pthread_create(&ui->painter, NULL, paint, ui) == 0;
}

void tty_stop(struct ix_ui *ui)
{
	if (!ui->painting)
		return;
	pthread_mutex_lock(&ui->lock);
	ui->stop = true;
	pthread_cond_signal(&ui->wake);
	pthread_mutex_unlock(&ui->lock);
	pthread_join(ui->painter, NULL);
	ui->painting = false;
	ui->drawn = 0;
}
