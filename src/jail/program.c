/* The program of a sandbox, where it is one of its own: linked statically, it starts in a fraction of the time that ix takes. */
#include "jail/jail.h"

int main(int argc, char **argv)
{
	return ix_jail_main(argc, argv);
}
