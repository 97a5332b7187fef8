/* What was computed, kept: keys of stages and steps, and what steps selected. */
#include <stdlib.h>

#include "base/err.h"
#include "base/map.h"
#include "context/context.h"
#include "state_int.h"

struct stage_state *state_of(const struct ix_state *state, const struct ix_stage *stage)
{
	struct stage_state *found = state->stages[stage->index];

	if (!found)
		ix_bug("stage '%s' has no key", stage->name);
	return found;
}

const struct ix_digest *ix_state_stage_key(const struct ix_state *state, const struct ix_stage *stage)
{
	return &state_of(state, stage)->key;
}

const struct ix_digest *ix_state_step_key(const struct ix_state *state, const struct ix_stage *stage, size_t step)
{
	if (step >= stage->nsteps)
		ix_bug("stage '%s' has no step %zu", stage->name, step);
	return &state_of(state, stage)->steps[step].key;
}

const struct ix_selection *ix_state_selection(const struct ix_state *state, const struct ix_stage *stage, size_t step, size_t i)
{
	const struct step_state *s = &state_of(state, stage)->steps[step];

	return i < s->nselections && s->selections[i].used ? &s->selections[i].files : NULL;
}

static void stage_state_free(struct stage_state *stage)
{
	if (!stage)
		return;
	for (size_t i = 0; i < stage->nsteps; i++) {
		for (size_t j = 0; j < stage->steps[i].nselections; j++) {
			ix_selection_release(&stage->steps[i].selections[j].files);
			free(stage->steps[i].selections[j].identity);
		}
		free(stage->steps[i].selections);
	}
	sight_release(&stage->sight);
	free(stage->steps);
	free(stage);
}

void ix_state_free(struct ix_state *state)
{
	if (!state)
		return;
	for (size_t i = 0; state->stages && i < state->graph->nstages; i++)
		stage_state_free(state->stages[i]);
	for (size_t i = 0; i < state->images.count; i++)
		free(state->images.entries[i].value);
	ix_map_release(&state->images);
	free(state->stages);
	free(state);
}
