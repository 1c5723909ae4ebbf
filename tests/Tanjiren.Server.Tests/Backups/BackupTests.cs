using System.Collections.Concurrent;
using System.IO.Compression;
using System.Net;
using Npgsql;
using Tanjiren.Protocol;
using Tanjiren.Server.Backups;
using Tanjiren.Server.Data;
using Tanjiren.Server.Data.Postgres;
using Tanjiren.Server.Data.Sqlite;
using Tanjiren.Server.Tests.Audit;
using Tanjiren.Server.Tests.Fuzzing;
using Tanjiren.Server.Tests.Tasks.Http;
using Tanjiren.Tests;

namespace Tanjiren.Server.Tests.Backups;

/// <summary>A backup is one moment of a server that works on; a restore is fit to be served, and only into a place where it destroys nothing.</summary>
public sealed class BackupTests : IDisposable
{
    private const long Leap = 1L << 32;

    private readonly TemporaryDirectory _directory = new();

    private static CancellationToken Cancelled => TestContext.Current.CancellationToken;

    public void Dispose() => _directory.Dispose();

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task Under_load_it_is_consistent_and_after_the_restore_nothing_from_before_counts_or_starts_by_itself(DatabaseKind kind)
    {
        Prepare(kind);
        await using var original = await TestDatabase.CreateAsync(kind, ServerFixture.MigrateAsync);
        await using var place = await TestDatabase.CreateAsync(kind);
        var file = _directory.File("backup");
        TaskBody running, waiting;
        DeviceClient agent;
        await using (var first = await ServerFixture.StartAsync(original.Url))
        {
            agent = await first.NewAgentAsync("machine");
            running = await first.Client.CreateTaskAsync(agent);
            await agent.ClaimAsync(running.StepId());
            waiting = await first.Client.CreateTaskAsync(agent);
            (await first.Client.PostJsonAsync("/api/schedules", new CreateScheduleRequest
            {
                Name = "seldom", Cron = "@yearly", Task = new CreateTaskRequest { Command = new CommandSpec { Argv = ["true"] }, Targets = new TargetSpec { Workstations = [agent.InstanceId] } },
            })).EnsureSuccessStatusCode();
            using var done = new CancellationTokenSource();
            var load = Enumerable.Range(0, 3).Select(_ => Task.Run(async () =>
            {
                for (var i = 0; i < 500 && !done.IsCancellationRequested; i++) await first.Client.CancelAsync((await first.Client.CreateTaskAsync(agent)).Id);
            })).ToList();
            var manifest = await ServerBackup.BackupAsync(original.Url, file, TimeProvider.System, Cancelled);
            (manifest.Format, manifest.Database, manifest.Sha256.Length, manifest.Bytes > 0).ShouldBe((1, kind == DatabaseKind.Sqlite ? "sqlite" : "postgres", 64, true));
            await done.CancelAsync();
            await Task.WhenAll(load);
            // What the server accepts now is lost with it.
            await agent.CompleteAsync(running.StepId());
            await agent.ClaimAsync(waiting.StepId());
        }

        (await ServerBackup.RestoreAsync(place.Url, file, force: false, TimeProvider.System, Cancelled)).ShouldSatisfyAllConditions(r => r.HeldTasks.ShouldBeGreaterThanOrEqualTo(1), r => r.PausedSchedules.ShouldBe(1));
        await using var second = await ServerFixture.StartAsync(place.Url);
        (await second.Client.GetBodyAsync<Page<ScheduleBody>>("/api/schedules")).Items.Single().ShouldSatisfyAllConditions(
            s => s.NextRunAt.ShouldBeNull(), s => s.PausedAt.ShouldNotBeNull(), s => s.PauseReason!.ShouldContain("restored from a backup of"));
        (await DatabaseInvariants.BrokenAsync(second)).ShouldBeEmpty();
        (await second.Client.TaskAsync(running.Id)).ShouldSatisfyAllConditions(t => t.State.ShouldBe(TaskState.Failed), t => t.Execution!.Steps[0].Reason.ShouldBe(StepReason.WorkerLost));
        (await second.Client.TaskAsync(waiting.Id)).ShouldSatisfyAllConditions(t => t.State.ShouldBe(TaskState.Queued), t => t.Held.ShouldBeTrue());

        using var same = new DeviceClient(second.Url, TimeProvider.System) { Key = agent.Key, InstanceId = agent.InstanceId, AccessToken = agent.AccessToken, SessionId = agent.SessionId };
        await same.TryCompleteAsync(running.StepId(), AgentCalls.Result(running.StepId())).ProblemAsync(HttpStatusCode.Conflict, ErrorCode.SessionEnded);
        same.SessionId = Ids.New(Ids.Session, TimeProvider.System);
        (await same.PostAsync("sessions", new OpenSessionRequest { SessionId = same.SessionId, MachineId = "machine of machine", BootId = "boot", HostName = "machine" })).EnsureSuccessStatusCode();
        await same.TryCompleteAsync(running.StepId(), AgentCalls.Result(running.StepId())).ProblemAsync(HttpStatusCode.Conflict, ErrorCode.LeaseLost);
        // Of a claim that only the lost server knew, this one knows nothing.
        await same.TryCompleteAsync(waiting.StepId(), AgentCalls.Result(waiting.StepId())).ProblemAsync(HttpStatusCode.NotFound, ErrorCode.NotFound);

        (await same.BeatAsync()).PendingTasks.ShouldBeEmpty();
        (await same.TryClaimAsync(waiting.StepId(), expectedGeneration: Leap).ProblemAsync(HttpStatusCode.Conflict, ErrorCode.NotClaimable)).CurrentState.ShouldBe("held_after_restore");
        using (var early = await second.Client.PostAsync("/api/tasks/resume", null, Cancelled))
        {
            (await early.ProblemAsync(HttpStatusCode.Conflict, ErrorCode.StateConflict)).CurrentState.ShouldBe("held_after_restore");
            early.Headers.RetryAfter!.Delta!.Value.TotalSeconds.ShouldBeInRange(1, 90 + 120);
        }
        (await second.Client.TaskAsync(waiting.Id)).Held.ShouldBeTrue();
        // The restore was so long ago that no lease from before it can last.
        await second.Database.WriteAsync(tx => tx.ExecuteAsync("UPDATE tasks SET held_at = held_at - 210000 WHERE held_at IS NOT NULL"), Cancelled);
        var resumed = await (await second.Client.PostAsync("/api/tasks/resume", null, Cancelled)).BodyAsync<ResumedTasks>();
        resumed.Resumed.ShouldBeGreaterThanOrEqualTo(1);
        (await (await same.TryClaimAsync(waiting.StepId(), expectedGeneration: Leap)).BodyAsync<ClaimResponse>()).LeaseGeneration.ShouldBe(Leap + 1);
        (await (await same.TryCompleteAsync(waiting.StepId(), AgentCalls.Result(waiting.StepId(), r => r with { LeaseGeneration = Leap + 1 }))).BodyAsync<StepTransitionResponse>()).Result.ShouldBe(TransitionResult.Applied);

        var export = await second.Client.GetStringAsync("/api/audit-events/export", Cancelled);
        SealedLines.Verify(export.Split('\n')).Fault.ShouldBeNull();
        export.ShouldContain("server.restored");
        export.ShouldContain("tasks.resumed");
        agent.Dispose();
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task It_destroys_nothing_unless_it_is_forced_and_then_goes_back_whole(DatabaseKind kind)
    {
        Prepare(kind);
        await using var database = await TestDatabase.CreateAsync(kind, ServerFixture.MigrateAsync);
        var file = _directory.File("backup");
        await using (var server = await ServerFixture.StartAsync(database.Url))
        {
            await server.NewInstanceAsync("in the backup");
            await ServerBackup.BackupAsync(database.Url, file, TimeProvider.System, Cancelled);
            await server.NewInstanceAsync("after the backup");
            (await RefusedAsync(() => RestoreAsync(database, file, force: true))).ShouldContain("a control plane runs");
        }
        (await RefusedAsync(() => RestoreAsync(database, file, force: false))).ShouldContain(kind == DatabaseKind.Sqlite ? "exists" : "is not empty");
        (await RefusedAsync(() => ServerBackup.BackupAsync(database.Url, file, TimeProvider.System, Cancelled))).ShouldContain("exists");

        await RestoreAsync(database, file, force: true);
        await using var restored = await ServerFixture.StartAsync(database.Url);
        (await restored.Client.GetBodyAsync<Page<InstanceBody>>("/api/instances")).Items.Select(i => i.Name).ShouldBe(["in the backup"]);
        if (kind == DatabaseKind.Sqlite)
            Directory.GetFiles(Path.GetDirectoryName(database.Url["sqlite:".Length..])!).ShouldContain(path => path.Contains("tanjiren.db.before-restore-", StringComparison.Ordinal));
        Directory.GetFileSystemEntries(_directory.Path).ShouldBe([file], "nothing unfinished is left");
    }

    [Theory, InlineData(true), InlineData(false)]
    public async Task What_a_forced_restore_replaces_is_kept_whole_and_at_no_moment_is_there_no_database(bool readable)
    {
        Prerequisite.Linux();
        await using var database = await TestDatabase.CreateAsync(DatabaseKind.Sqlite, ServerFixture.MigrateAsync);
        var (file, place) = (_directory.File("backup"), _directory.File("place/tanjiren.db"));
        await ServerBackup.BackupAsync(database.Url, file, TimeProvider.System, Cancelled);
        Directory.CreateDirectory(_directory.File("place"));
        // As after a kill: what was written last is in the log only.
        await using (var killed = SqliteLibrary.Connect($"Data Source={_directory.File("killed.db")};Pooling=False"))
        {
            await killed.OpenAsync(Cancelled);
            await using var command = killed.CreateCommand();
            command.CommandText = "PRAGMA journal_mode=WAL; CREATE TABLE last_words (said TEXT); INSERT INTO last_words VALUES ('hello')";
            await command.ExecuteNonQueryAsync(Cancelled);
            foreach (var suffix in new[] { "", "-wal" }) File.Copy(_directory.File("killed.db" + suffix), place + suffix);
        }
        if (!readable)
        {
            File.Delete(place + "-wal");
            await File.WriteAllTextAsync(place, "this is no database", Cancelled);
        }

        var seen = new ConcurrentQueue<string>();
        using (var watcher = new FileSystemWatcher(_directory.File("place")) { IncludeSubdirectories = false })
        {
            watcher.Created += (_, e) => seen.Enqueue("created " + e.Name);
            watcher.Deleted += (_, e) => seen.Enqueue("deleted " + e.Name);
            watcher.Renamed += (_, e) => seen.Enqueue($"deleted {e.OldName}, created {e.Name}");
            watcher.EnableRaisingEvents = true;
            await ServerBackup.RestoreAsync("sqlite:" + place, file, force: true, TimeProvider.System, Cancelled);
            await File.WriteAllTextAsync(_directory.File("place/end"), "", Cancelled);
            await Eventually.TrueAsync(() => seen.Contains("created end"));
        }
        seen.ShouldNotContain(what => what.StartsWith("deleted tanjiren.db", StringComparison.Ordinal) && !what.StartsWith("deleted tanjiren.db-", StringComparison.Ordinal));
        File.Exists(place + "-wal").ShouldBeFalse("it is of another database");
        var aside = Directory.GetFiles(_directory.File("place"), "tanjiren.db.before-restore-*").ShouldHaveSingleItem();
        if (readable)
        {
            await using var kept = SqliteLibrary.Connect($"Data Source={aside};Pooling=False");
            await kept.OpenAsync(Cancelled);
            await using var command = kept.CreateCommand();
            command.CommandText = "SELECT said FROM last_words";
            (await command.ExecuteScalarAsync(Cancelled)).ShouldBe("hello");
        }
        else (await File.ReadAllTextAsync(aside, Cancelled)).ShouldBe("this is no database");
        await using var restored = await ServerFixture.StartAsync("sqlite:" + place);
    }

    [Fact]
    public async Task What_is_not_a_whole_backup_of_this_kind_and_version_is_refused_before_anything_is_touched()
    {
        await using var database = await TestDatabase.CreateAsync(DatabaseKind.Sqlite, ServerFixture.MigrateAsync);
        await using var place = await TestDatabase.CreateAsync(DatabaseKind.Sqlite);
        var file = _directory.File("backup");
        var manifest = await ServerBackup.BackupAsync(database.Url, file, TimeProvider.System, Cancelled);
        string Copy(string name, Action<string> spoil)
        {
            File.Copy(file, _directory.File(name));
            spoil(_directory.File(name));
            return _directory.File(name);
        }
        void Edit(string path, string entry, Func<string, string> change)
        {
            using var zip = ZipFile.Open(path, ZipArchiveMode.Update);
            string text;
            using (var reader = new StreamReader(zip.GetEntry(entry)!.Open(), System.Text.Encoding.Latin1)) text = reader.ReadToEnd();
            zip.GetEntry(entry)!.Delete();
            using var writer = new StreamWriter(zip.CreateEntry(entry).Open(), System.Text.Encoding.Latin1);
            writer.Write(change(text));
        }
        foreach (var (bad, why) in new[]
        {
            (Copy("altered", path => Edit(path, "database", text => text[..5000] + "x" + text[5001..])), "is damaged"),
            (Copy("cut", path => File.WriteAllBytes(path, File.ReadAllBytes(path)[..^100])), "is not a backup"),
            (Copy("other", path => File.WriteAllText(path, "hello")), "is not a backup"),
            (Copy("newer", path => Edit(path, "manifest.json", text => text.Replace(manifest.MigrationLevel, "9999_later.sql", StringComparison.Ordinal))), "newer than this one"),
            (Copy("kind", path => Edit(path, "manifest.json", text => text.Replace("\"sqlite\"", "\"postgres\"", StringComparison.Ordinal))), "can't be restored into sqlite"),
            (_directory.File("no such file"), "there is no file"),
        })
            (await RefusedAsync(() => RestoreAsync(place, bad, force: false))).ShouldContain(why, customMessage: bad);
        File.Exists(place.Url["sqlite:".Length..]).ShouldBeFalse();
        (await RefusedAsync(() => ServerBackup.BackupAsync("sqlite:" + file, _directory.File("of no database"), TimeProvider.System, Cancelled))).ShouldContain("can't be copied");
        (await RefusedAsync(() => ServerBackup.BackupAsync("sqlite:" + _directory.File("nowhere"), _directory.File("of nothing"), TimeProvider.System, Cancelled))).ShouldContain("there is no database");
    }

    [Fact]
    public async Task A_restore_that_did_not_come_to_its_end_is_not_served()
    {
        Prepare(DatabaseKind.Postgres);
        await using var database = await TestDatabase.CreateAsync(DatabaseKind.Postgres, ServerFixture.MigrateAsync);
        var file = _directory.File("backup");
        await ServerBackup.BackupAsync(database.Url, file, TimeProvider.System, Cancelled);
        await using (var connected = new Database(DatabaseUrl.Open(database.Url, TimeProvider.System)))
            await connected.WriteAsync(tx => tx.ExecuteAsync($"CREATE TABLE {PostgresDump.UnfinishedTable} (since TIMESTAMPTZ)"), Cancelled);
        (await Should.ThrowAsync<FormatException>(() => ServerFixture.StartAsync(database.Url))).Message.ShouldContain("restore --force");
        await RestoreAsync(database, file, force: true);
        await using var served = await ServerFixture.StartAsync(database.Url);
    }

    [Fact]
    public async Task While_a_restore_works_no_server_starts_no_second_one_begins_and_a_server_that_was_cut_off_stops()
    {
        Prepare(DatabaseKind.Postgres);
        await using var database = await TestDatabase.CreateAsync(DatabaseKind.Postgres, ServerFixture.MigrateAsync);
        var file = _directory.File("backup");
        await ServerBackup.BackupAsync(database.Url, file, TimeProvider.System, Cancelled);
        await using var server = await ServerFixture.StartAsync(database.Url);
        await using (var beside = await ServerFixture.StartAsync(database.Url)) (await beside.Client.GetAsync("/api/status", Cancelled)).EnsureSuccessStatusCode();

        await using var restore = new NpgsqlConnection(TestDatabase.ConnectionString(database.Url));
        await restore.OpenAsync(Cancelled);
        await using var alone = new NpgsqlCommand($"SELECT pg_advisory_lock({PostgresProvider.ServingLock})", restore);
        var locked = alone.ExecuteNonQueryAsync(Cancelled);
        await server.BlockedAsync(locked);
        locked.IsCompleted.ShouldBeFalse("the server has it");
        // The network cuts the server off; before it is back, a restore has begun.
        await server.Database.ReadAsync(sql => sql.ListAsync<bool>(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND application_name = @name", new { name = PostgresProvider.LastingName }), Cancelled);
        await locked;
        await Eventually.TrueAsync(() => server.App.Lifetime.ApplicationStopping.IsCancellationRequested);
        (await Should.ThrowAsync<FormatException>(() => ServerFixture.StartAsync(database.Url))).Message.ShouldContain("A restore into this database is under way");
        (await RefusedAsync(() => RestoreAsync(database, file, force: true))).ShouldContain("another restore");
    }

    [Fact]
    public async Task A_backup_is_for_its_owner_s_eyes()
    {
        Prerequisite.Linux();
        await using var database = await TestDatabase.CreateAsync(DatabaseKind.Sqlite, ServerFixture.MigrateAsync);
        await ServerBackup.BackupAsync(database.Url, _directory.File("backup"), TimeProvider.System, Cancelled);
#pragma warning disable CA1416 // Linux, as required above
        File.GetUnixFileMode(_directory.File("backup")).ShouldBe(UnixFileMode.UserRead | UnixFileMode.UserWrite);
#pragma warning restore CA1416
    }

    private static Task<RestoreReport> RestoreAsync(TestDatabase place, string file, bool force) => ServerBackup.RestoreAsync(place.Url, file, force, TimeProvider.System, Cancelled);

    private static async Task<string> RefusedAsync<T>(Func<Task<T>> work)
    {
        var refusal = await Should.ThrowAsync<BackupException>(async () => await work());
        refusal.Hint.ShouldNotBeNullOrEmpty();
        return refusal.Message;
    }

    private static void Prepare(DatabaseKind kind)
    {
        if (kind == DatabaseKind.Postgres) Prerequisite.Program("pg_dump");
    }
}
