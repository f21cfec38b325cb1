//! The files of a report.

use std::{fs, io, path::Path};

use super::{Report, summary::failed};

impl Report {
    /// Writes `report.json`, `report.md`, `report.html` and a plan for each failed scenario into a folder.
    ///
    /// *Errors*: what the file system says.
    pub fn write(&self, folder: &Path) -> io::Result<()> {
        fs::create_dir_all(folder)?;
        fs::write(folder.join("report.json"), self.json())?;
        fs::write(folder.join("report.md"), self.markdown())?;
        fs::write(folder.join("report.html"), self.html())?;
        for result in self.results.iter().filter(|it| failed(it)) {
            // The name of a family's member has a slash.
            let name = result.plan.scenario.name.replace('/', "-");
            let file = folder.join(format!("plan-{name}-{}.json", result.plan.seed));
            fs::write(file, serde_json::to_string_pretty(&result.plan)?)?;
        }
        Ok(())
    }
}
