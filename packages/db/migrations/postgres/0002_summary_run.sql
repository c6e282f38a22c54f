-- Who last began to read what is known of a brand, to sum it up: whoever began before does not write any more.

ALTER TABLE workspace ADD COLUMN summary_run TEXT;
