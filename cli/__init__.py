"""``ugtj``, the command line of UllGetTheJob Core: for the local cloud and for deployed ones."""
