#include "cli_int.h"

void local_options(const struct session *session, struct ix_local_opts *ret_opts)
{
	*ret_opts = (struct ix_local_opts){
		.image = { .store = session->store,
			   .cache = session->cache,
			   .cancel = session->cancel,
			   .compression = IX_COMPRESSION_GZIP,
			   .epoch = -1 },
		.remotes = session->remotes,
		.sink = ix_ui_sink(session->ui),
		.secrets = session->secrets,
		.nsecrets = session->nsecrets,
		.build_args = session->request ? &session->request->build_args : NULL,
	};
}

void engine_options(const struct session *session, const struct ix_local_opts *local, struct ix_builder *builder,
		    struct ix_engine_opts *ret_opts)
{
	*ret_opts = (struct ix_engine_opts){
		.image = local->image,
		.cancel = session->cancel,
		.builder = builder,
		.sink = ix_ui_sink(session->ui),
		.project = session->project ? session->project->name : NULL,
		.remembered = session->remembered,
		.no_cutoff = session->project && session->project->no_cutoff,
	};
}
