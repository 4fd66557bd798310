-- begin
set autoinstall_known_extensions = false;
set autoload_known_extensions = false;
set memory_limit = '2GB';
-- What does not fit is refused: nothing is written, not even for a while.
set temp_directory = '';
-- view
-- Objects of a cache do not have the names of their cells: what stands in front is looked up by the path.
create view {view} as
select {front}* exclude (filename)
from read_parquet({paths}, hive_partitioning = false, filename = true, union_by_name = {union});
-- table
create table {name} as from new;
-- end
set allowed_paths = {paths};
set enable_external_access = false;
set lock_configuration = true;
-- syntax
select json_serialize_sql(?::varchar);
-- listing
select table_name, column_name, data_type
from duckdb_columns()
where not internal
order by table_oid, column_index;
