namespace Tanjiren.EndToEnd.Tests.Faults;

/// <summary>The agent dies and its journal and outbox are cut back to what was fsynced, as a power cut leaves them (acceptance 4).</summary>
public sealed class PowerCutTests
{
    [Fact]
    public async Task An_outbox_cut_back_to_its_last_fsync_still_tells_the_truth()
    {
        var cuts = new List<string>();
        await FaultRounds.RunAsync("outbox cut back to its last fsync", new SceneOptions { KnowsSyncedBytes = true }, async (scene, random) =>
        {
            var handOn = scene.Round % 2 == 1;
            var task = await scene.SubmitAsync(beats: 20);
            // Up to the last line: the result may be on its way, on the disk or neither.
            var holder = await scene.HolderAfterAsync(task, lines: random.Next(1, handOn ? 10 : 22));
            await holder.KillAsync();
            cuts.AddRange(scene.Synced!.CutBack(holder.Home).Where(cut => cut.Contains("journal", StringComparison.Ordinal) || cut.Contains("outbox", StringComparison.Ordinal)));
            if (handOn)
                await scene.HandedOnAsync(task, holder);
            await holder.StartAgainAsync();
        }, KilledAgentTests.Exempt);
        cuts.ShouldNotBeEmpty("the rounds took not one byte");
    }
}
