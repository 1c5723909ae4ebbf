namespace Tanjiren.EndToEnd.Tests.Faults;

/// <summary>No space is left on the disk of an agent's journal and outbox (acceptance 4).</summary>
public sealed class FullDiskTests
{
    private const int Kibibytes = 4096;

    [Fact]
    public Task A_full_disk_loses_no_result_and_starts_nothing_that_cannot_be_recorded() => FaultRounds.RunAsync(
        "no space on the outbox's disk", new SceneOptions { HomeKibibytes = Kibibytes }, async (scene, random) =>
        {
            if (scene.Round % 3 == 0)
            {
                // Before the claim: both machines are asked, neither has room for more than it has set aside.
                foreach (var disk in scene.Disks)
                    disk.Fill();
                await scene.SubmitAsync(beats: 10);
                await Task.Delay(scene.LeaseEnd * random.NextDouble(), TimeProvider.System);
            }
            else
            {
                var task = await scene.SubmitAsync(beats: 30);
                var holder = await scene.HolderAfterAsync(task, lines: random.Next(1, 12));
                var disk = scene.Disks[holder == scene.Agents[0] ? 0 : 1];
                disk.Fill();
                if (scene.Round % 3 == 1)
                {
                    // A new life on a full disk: it may not even be able to open its journal.
                    await holder.KillAsync();
                    await holder.StartAgainAsync();
                    await scene.HandedOnAsync(task, holder);
                    disk.Free();
                    await Task.Delay(TimeSpan.FromSeconds(random.NextDouble()), TimeProvider.System);
                    if (holder.Process.HasExited)
                        await holder.StartAgainAsync();
                }
                else
                {
                    // Longer than the job, so that its result meets the full disk too.
                    await Task.Delay(TimeSpan.FromSeconds(2 + (4 * random.NextDouble())), TimeProvider.System);
                }
            }
            foreach (var disk in scene.Disks)
                disk.Free();
        },
        new CannotProvoke(FaultTally.RefusedWrites, "a disk that is full keeps no heartbeat back, and an agent that was killed on it asks the server before it writes"));
}
