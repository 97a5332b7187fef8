#include "workspace_int.h"

void ix_workspace_local(const struct ix_workspace *workspace, struct ix_local_opts *ret_opts)
{
	const struct workspace *ws = workspace_of_const(workspace);

	*ret_opts = (struct ix_local_opts){
		.image = { .store = workspace->store,
			   .cache = workspace->cache,
			   .cancel = ws->cancel,
			   .compression = IX_COMPRESSION_GZIP,
			   .epoch = -1 },
		.remotes = workspace->remotes,
		.sink = ws->sink,
		.redactor = workspace->redactor,
		.secrets = workspace->request->secret_list.items,
		.nsecrets = workspace->request->secret_list.count,
		.build_args = &workspace->request->build_args,
	};
}

void ix_workspace_engine(const struct ix_workspace *workspace, const struct ix_local_opts *local, struct ix_builder *builder,
			 struct ix_engine_opts *ret_opts)
{
	const struct workspace *ws = workspace_of_const(workspace);

	*ret_opts = (struct ix_engine_opts){
		.image = local->image,
		.cancel = ws->cancel,
		.builder = builder,
		.sink = ws->sink,
		.project = workspace->project ? workspace->project->name : NULL,
		.remembered = workspace->remembered,
		.no_cutoff = workspace->project && workspace->project->no_cutoff,
		.no_log = workspace->project && workspace->project->logs == IX_LOGS_NONE,
		.local_log = workspace->project && workspace->project->logs == IX_LOGS_LOCAL,
	};
}
