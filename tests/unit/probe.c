/* Linked with all of a room: what links is the test. */
int main(void)
{
	return 0;
}
