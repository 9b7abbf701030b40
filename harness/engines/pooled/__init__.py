"""Engines that split text into segments and synthesise them with a pool of sessions."""
